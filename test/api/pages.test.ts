import { getIntrospectionQuery, type IntrospectionQuery, type IntrospectionTypeRef } from "graphql";
import { expect, test } from "vitest";
import { makeTenant } from "../data-model/world.ts";
import type { Answer } from "./api.ts";
import { dataOf, serveTwoTenants } from "./world.ts";

/**
 * Every list that there is, whatever it is called: its pages come to the whole set and so does its
 * total, where many rows are of one moment.
 */
const { database, as } = await serveTwoTenants({
  API_MAX_COST: "1000000",
  API_INTROSPECTION: "on",
});

for (const name of ["third", "fourth"]) await makeTenant(database, name);
await database.sql`select rate_limiter_private.refresh_daily_quota_usage()`;
await database.sql`
  select graphile_worker.add_job('verify_ledger', max_attempts => 1) from generate_series(1, 5)
`;
await database.sql`
  update graphile_worker._private_jobs set attempts = 1, updated_at = '2026-01-01'
`;

/** Makes rows like the first one of every table: other keys, the same moments. */
await database.sql.begin(async (sql) => {
  await sql`set local session_replication_role = replica`;
  await sql`
    do $clone$
    declare
      source record;
      changed jsonb;
    begin
      for source in
        select
          c.oid::regclass as name,
          (
            select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
            from pg_attribute as a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              and a.attgenerated = '' and a.attidentity <> 'a'
          ) as columns,
          -- Of each key the column that says least: an id before a name before a number.
          (
            select string_agg(distinct format('%L, %s', k.attname, k.other), ', ')
            from pg_index as i
            cross join lateral (
              select a.attname, case a.atttypid::regtype::text
                when 'uuid' then 'gen_random_uuid()'
                when 'text' then 'md5(random()::text)'
                when 'character varying' then 'md5(random()::text)'
                else '1000000 + (random() * 1000000)::integer'
              end as other
              from pg_attribute as a
              where a.attrelid = c.oid and a.attnum = any(i.indkey)
                and a.atttypid::regtype::text in (
                  'uuid', 'text', 'character varying', 'integer', 'bigint', 'smallint'
                )
                and a.attname not in ('shard_key', 'tenant_id')
              order by a.atttypid <> 'uuid'::regtype, a.atttypid in (20, 21, 23), a.attnum desc
              limit 1
            ) as k
            where i.indrelid = c.oid and i.indisunique
          ) as keys
        from pg_class as c
        where c.relnamespace::regnamespace::text ~ '^rate_limiter(_audit|_private)?$'
          and c.relkind in ('r', 'p') and not c.relispartition
      loop
        for n in 1..7 loop
          begin
            execute format('select jsonb_build_object(%s)', source.keys) into changed;
            execute format(
              'insert into %1$s (%2$s) overriding system value
               select %2$s from (
                 select (jsonb_populate_record(t, $1)).* from %1$s as t limit 1
               ) as t',
              source.name, source.columns
            ) using changed;
          exception
            when check_violation or unique_violation or exclusion_violation
              or object_not_in_prerequisite_state then null;
          end;
        end loop;
      end loop;
    end
    $clone$
  `;
});

const { __schema: schema } = (await dataOf(
  as.system_admin.ask(getIntrospectionQuery()),
)) as IntrospectionQuery;

const typeNamed = (name: string) => schema.types.find((type) => type.name === name);
const bare = (type: IntrospectionTypeRef): string =>
  "ofType" in type && type.ofType ? bare(type.ofType) : (type as { name: string }).name;

interface List {
  readonly name: string;
  readonly given: string;
  readonly scalars: string;
  readonly orders: readonly string[];
}

/** What a bucket holds moves while it is read, and clones have no copies of what they need. */
const unsteady = /^(needs.*|currentTokens|fillPercentage|lastRefillAt|debt|debtSeconds|status)$/;

/** What a list cannot be asked for without. */
const arguments_: Readonly<Record<string, string>> = {
  searchAudit: `since: "2000-01-01T00:00:00Z", until: "2100-01-01T00:00:00Z"`,
};

const lists: readonly List[] = fieldsOf("Query").flatMap((field) => {
  const type = bare(field.type);
  if (!type.endsWith("Connection")) return [];
  const nodes = bare(fieldsOf(type).find(({ name }) => name === "nodes")?.type as never);
  const scalars = fieldsOf(nodes).filter(
    ({ name, type: of, args }) =>
      !unsteady.test(name) &&
      args.length === 0 &&
      ["SCALAR", "ENUM"].includes(typeNamed(bare(of))?.kind ?? ""),
  );
  const orderBy = field.args.find(({ name }) => name === "orderBy");
  const order = orderBy && typeNamed(bare(orderBy.type));
  const orders = order?.kind === "ENUM" ? order.enumValues.map(({ name }) => name) : [];
  return [
    {
      name: field.name,
      given: arguments_[field.name] ?? "",
      scalars: scalars.map(({ name }) => name).join(" "),
      orders: [
        "",
        ...orders.filter((name) =>
          /(_AT|TIMESTAMP|DATE|MINUTE|HOUR|DAY|APP_ID|USER_ID)_DESC$/.test(name),
        ),
      ],
    },
  ];
});

function fieldsOf(name: string) {
  const type = typeNamed(name);
  return type?.kind === "OBJECT" ? type.fields : [];
}

const alias = ({ name }: List, order: string) => `${name}_${order || "usual"}`;

function ask(list: List, order: string, page: string): string {
  const orderBy = order && `, orderBy: [${order}]`;
  const given = list.given && `, ${list.given}`;
  return `${alias(list, order)}: ${list.name}(${page}${orderBy}${given}) {
    nodes { ${list.scalars} } totalCount pageInfo { hasNextPage endCursor }
  }`;
}

async function answers(selections: readonly string[]): Promise<Answer["data"]> {
  const all = {};
  for (let from = 0; from < selections.length; from += 12) {
    const query = `{ ${selections.slice(from, from + 12).join("\n")} }`;
    Object.assign(all, await dataOf(as.system_admin.ask(query)));
  }
  return all;
}

const rowsOf = (nodes: readonly unknown[]) => nodes.map((node) => JSON.stringify(node));

interface Asked {
  readonly list: List;
  readonly order: string;
  readonly key: string;
}

interface Page {
  readonly nodes: readonly unknown[];
  readonly totalCount: number;
  readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string };
}

/** What is wrong with the pages of a list, compared with all of it. */
function faultsOf(key: string, whole: Page, pages: readonly Page[]): string[] {
  const rows = pages.flatMap(({ nodes }) => rowsOf(nodes));
  return [
    // In the same order too: a page goes on where the last one ended.
    JSON.stringify(rows) === JSON.stringify(rowsOf(whole.nodes)) || `rows of ${key}`,
    pages.every(({ totalCount }) => totalCount === whole.nodes.length) || `total of ${key}`,
    pages.length === Math.max(1, Math.ceil(whole.nodes.length / 3)) || `pages of ${key}`,
  ].filter((fault) => fault !== true);
}

/** All pages of each list, three rows a page, of all lists side by side. */
async function pagesOf(asked: readonly Asked[]): Promise<Map<string, Page[]>> {
  const pages = new Map<string, Page[]>(asked.map(({ key }) => [key, []]));
  let open = asked;
  while (open.length > 0) {
    const found = await answers(
      open.map(({ list, order, key }) => {
        const after = pages.get(key)?.at(-1)?.pageInfo.endCursor;
        return ask(list, order, `first: 3${after ? `, after: "${after}"` : ""}`);
      }),
    );
    for (const { key } of open) pages.get(key)?.push(found[key]);
    open = open.filter(({ key }) => {
      const { pageInfo, nodes } = found[key];
      return pageInfo.hasNextPage && nodes.length > 0;
    });
  }
  return pages;
}

test("the pages of every list come to all of its rows, and its total counts them", async () => {
  const asked = lists.flatMap((list) =>
    list.orders.map((order) => ({ list, order, key: alias(list, order) })),
  );
  expect(lists.length).toBeGreaterThan(40);
  let wholes: Answer["data"] = {};
  async function look(): Promise<string[]> {
    wholes = await answers(asked.map(({ list, order }) => ask(list, order, "first: 500")));
    const pages = await pagesOf(asked);
    return asked.flatMap(({ key }) => faultsOf(key, wholes[key], pages.get(key) ?? []));
  }
  // What begins or ends between two pages is a fault of the first look alone.
  const faults = await look();
  expect(faults.length === 0 ? faults : await look()).toEqual([]);

  const small = asked.flatMap(({ list, order, key }) => {
    const count = wholes[key].nodes.length;
    return order === "" && count <= 3 ? [`${list.name}: ${count}`] : [];
  });
  // Lists of what a world has few of: a page holds them.
  expect(small).toEqual([]);
}, 120_000);

test("a search of the audit is paged and counted whatever it is for", async () => {
  const request = (given: string) => `{
    searchAudit(since: "2000-01-01T00:00:00Z", until: "2100-01-01T00:00:00Z", ${given}) {
      nodes { logId createdAt } totalCount pageInfo { hasNextPage endCursor }
    }
  }`;
  await database.sql`
    insert into rate_limiter_audit.audit_logs (action, entity_type, new_values, created_at)
    select 'insert', 'user_sessions', '{"name": "one of many"}', now() - interval '1 hour'
    from generate_series(1, 1100)
  `;
  for (const filter of [`entityType: USER_SESSION, action: INSERT`, `containing: "ONE of many"`]) {
    const seen: string[] = [];
    let after = "";
    for (let page = 1; page <= 3; page++) {
      const { searchAudit } = await dataOf(
        as.system_admin.ask(request(`${filter}, first: 500${after}`)),
      );
      expect(searchAudit.totalCount).toBe(1100);
      expect(searchAudit.pageInfo.hasNextPage).toBe(page < 3);
      seen.push(...searchAudit.nodes.map(({ logId }: { logId: string }) => logId));
      after = `, after: "${searchAudit.pageInfo.endCursor}"`;
    }
    expect(new Set(seen).size).toBe(1100);
  }
});
