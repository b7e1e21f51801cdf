import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { snapshot } from "../../src/migrations/snapshot.ts";
import { type Sql, withConnection } from "../../src/postgres/connect.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../src/postgres/throwaway-server.ts";
import { withDatabase, withRole } from "../../src/postgres/url.ts";
import { makeTwoTenants } from "../data-model/world.ts";
import { createDatabase } from "../harness/index.ts";
import { ledgerGaps, limitedApplication } from "../sql/world.ts";
import { drill, findClient, perform } from "./postgres-client.ts";

/** The drills of docs/backup-restore.md, by its own commands. */
const database = await createDatabase();
const [version] = await database.sql<{ major: number }[]>`
  select current_setting('server_version_num')::integer / 10000 as major
`;
const client = findClient(version?.major ?? 0);

async function rowCounts(url: string): Promise<Record<string, string>> {
  return withConnection(url, async (sql) => {
    const tables = await sql<{ name: string }[]>`
      select c.oid::regclass::text as name
      from pg_class as c
      where c.relkind in ('r', 'p')
        and not c.relispartition
        and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
      order by name
    `;
    const counts: Record<string, string> = {};
    for (const { name } of tables) {
      const [row] = await sql`select count(*) as count from ${sql(name)}`;
      counts[name] = row?.count;
    }
    return counts;
  });
}

/** PostgreSQL reads its own casts back in other places than it wrote them. */
async function schemaOf(sql: Sql): Promise<string> {
  return (await snapshot(sql)).replaceAll(/::(character varying|text)(\[\])?/g, "");
}

describe.skipIf(client === undefined)("a dump, restored to another server", () => {
  const backup = mkdtempSync(join(tmpdir(), "storage-qos-dump-"));
  let server: ThrowawayServer;
  let copy: string;
  let appId: string;

  const run = (block: string | undefined, newDatabase = copy, url = database.url) =>
    perform(block, client ?? "", {
      ...{ BACKUP: backup, DATABASE_URL: url },
      ...{ NEW_SERVER: server.url, NEW_DATABASE: newDatabase },
    });
  const consume = (url: string) =>
    withConnection(
      withRole(url, "rate_limiter_app"),
      (app) => app`select allowed from rate_limiter.consume(${appId}, 'read_small', 100)`,
    );

  beforeAll(async () => {
    server = await startThrowawayServer();
    copy = withDatabase(server.url, "storage_qos");
    const { sql } = database;
    await makeTwoTenants(database);
    await sql`delete from rate_limiter.token_transactions`;
    await sql`update rate_limiter.token_buckets set ledger_seq = 0`;
    appId = await limitedApplication(sql, { iops: 1, burst: 1_000, bytes: 1_000_000 });
    for (let call = 0; call < 5; call++) await consume(database.url);
    await leaveJobsHalfway(sql);
    await consume(database.url);
    for (const block of drill("another server or version")) await run(block);
  }, 120_000);
  afterAll(async () => {
    await server.stop();
    rmSync(backup, { recursive: true });
  });

  test("is the same database: schema, rights, rows, and a ledger that explains them", async () => {
    expect(await rowCounts(copy)).toEqual(await rowCounts(database.url));
    await withConnection(copy, async (copied) => {
      expect(await schemaOf(copied)).toBe(await schemaOf(database.sql));
      expect(await ledgerGaps(copied)).toEqual([]);
      expect((await consume(copy))[0]?.allowed).toBe(true);
      expect(await ledgerGaps(copied)).toEqual([]);
    });
  });

  test("goes on where it has no partition of now, and none is made by hand", async () => {
    await withConnection(copy, async (copied) => {
      // As a dump has them that lay for longer than partitions are made ahead.
      await losePartitions(copied, "rate_limiter.token_transactions");
      expect((await consume(copy))[0]?.allowed).toBe(true);
      await moveOutOfDefaults(copied);
      expect((await consume(copy))[0]?.allowed).toBe(true);
      const [left] = await copied`
        select count(*) as count from rate_limiter_partitions.token_transactions_default
      `;
      expect(left?.count).toBe("0");
      expect(await ledgerGaps(copied)).toEqual([]);
    });
  });

  test("goes on with the usage, a check of the ledger and who manages what", async () => {
    await withConnection(copy, async (copied) => {
      const progress = await copied`select from rate_limiter_private.ledger_check_progress`;
      expect(progress.length).toBe(1);
      const managed = await copied`select managed_by from rate_limiter_internal.managed_objects`;
      expect([...managed]).toEqual([{ managed_by: "drill" }]);
      expect((await copied`select from rate_limiter.processes`).length).toBe(1);

      await copied`select from rate_limiter_private.refresh_daily_quota_usage()`;
      const [usage] = await copied`
        select u.tokens_consumed as counted, (
          select -sum(t.tokens_change)
          from rate_limiter.token_transactions as t
          where t.owner_id = u.app_id
            and t.bucket_type = u.bucket_type
            and t.transaction_type = 'consume'
        ) as explained
        from rate_limiter.mv_daily_quota_usage as u
        where u.app_id = ${appId} and u.bucket_type = 'iops_l2'
      `;
      expect(Number(usage?.explained)).toBeGreaterThan(6);
      expect(usage?.counted).toBe(usage?.explained);
      const [check] =
        await copied`select is_done, gap_count from rate_limiter_private.verify_ledger()`;
      expect({ ...check }).toEqual({ is_done: true, gap_count: "0" });
    });
  });

  test("gives back the rows of a table that were removed by mistake", async () => {
    const { sql } = database;
    const rules = () =>
      sql`select to_jsonb(r) as rule from rate_limiter.cost_rules as r order by 1`;
    const before = await rules();
    await sql`delete from rate_limiter.cost_rules`;
    await run(drill("### Tables alone")[2]);
    expect(await rules()).toEqual(before);
    expect(before.length).toBeGreaterThan(1);
  });
});

/** A usage and a check of the ledger that are not at their end, a process and a managed object. */
async function leaveJobsHalfway(sql: Sql): Promise<void> {
  await sql`select from rate_limiter_private.refresh_daily_quota_usage()`;
  await sql`select from rate_limiter_private.verify_ledger(clock_timestamp(), 1)`;
  await sql`
    select from rate_limiter.report_process(
      gen_random_uuid(), 'gateway', 'one', 'here', '1', interval '1 minute'
    )
  `;
  await sql`
    insert into rate_limiter_internal.managed_objects (kind, object_id, managed_by)
    select 'tenant', t.tenant_id, 'drill' from rate_limiter.tenants as t limit 1
  `;
}

describe.skipIf(client === undefined)("dumps of a part", () => {
  const backup = mkdtempSync(join(tmpdir(), "storage-qos-dump-"));
  afterAll(() => rmSync(backup, { recursive: true }));
  const run = (block: string | undefined, url: string, newDatabase = "") =>
    perform(block, client ?? "", { BACKUP: backup, DATABASE_URL: url, NEW_DATABASE: newDatabase });

  test("bring a table's history into a database that has other partitions", async () => {
    const [source, target] = [await createDatabase(), await createDatabase()];
    const appId = await limitedApplication(source.sql, { iops: 1, burst: 9, bytes: 1_000_000 });
    await source.sql`select from rate_limiter.consume(${appId}, 'read_small', 100)`;
    await source.sql`
      insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
      select 0, ${appId}, current_timestamp - age, 'm', 1
      from unnest(array['0', '40 days', '3 years']::interval[]) as age
    `;
    await moveOutOfDefaults(source.sql);
    const [dump, restore] = drill("### Tables alone");
    await run(dump, source.url);
    await run(restore, source.url, target.url);

    await moveOutOfDefaults(target.sql);
    for (const table of ["rate_limiter.metrics", "rate_limiter.token_transactions"]) {
      const rows = (sql: Sql) =>
        sql.unsafe(`select t::text, tableoid::regclass::text from ${table} as t order by t::text`);
      expect(await rows(target.sql)).toEqual(await rows(source.sql));
      expect((await rows(target.sql)).length).toBeGreaterThan(1);
    }
  });

  test("show what was changed by hand in the schema", async () => {
    const [changed, fresh] = [await createDatabase(), await createDatabase()];
    const dumped = async (url: string) => {
      await run(drill("### The schema alone")[0], url);
      return readFileSync(join(backup, "schema.sql"), "utf8").split("\n");
    };
    const expected = await dumped(fresh.url);
    expect(await dumped(changed.url)).toEqual(expected);
    await changed.sql`create index by_hand on rate_limiter.tenants (created_at)`;
    const known = new Set(expected);
    const added = (await dumped(changed.url)).filter((line) => !known.has(line));
    expect(added.join("\n")).toMatch(/^-- Name: by_hand;.*\nCREATE INDEX by_hand ON \S+ USING/);
  });
});

/** What has no partition of its own is in the default partition, which is then the only one. */
async function losePartitions(sql: Sql, table: string): Promise<void> {
  const partitions = await sql.unsafe<{ name: string }[]>(`
    select i.inhrelid::regclass::text as name
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid
    where i.inhparent = '${table}'::regclass and pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
  `);
  expect(partitions.length).toBeGreaterThan(0);
  for (const { name } of partitions) {
    await sql.unsafe(`alter table ${table} detach partition ${name}`);
    await sql.unsafe(`insert into ${table} select * from ${name}`);
    await sql.unsafe(`drop table ${name}`);
  }
}

/** As the jobs do it, step by step. */
async function moveOutOfDefaults(sql: Sql): Promise<void> {
  await sql`select rate_limiter_private.make_partitions()`;
  let steps: number;
  do {
    steps = (await sql`select from rate_limiter_private.drain_default_partitions()`).length;
  } while (steps > 0);
}
