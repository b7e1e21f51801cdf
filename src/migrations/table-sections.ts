import type { Sql } from "../postgres/connect.ts";

interface Table {
  readonly name: string;
  readonly comment: string | null;
  readonly key: string | null;
  readonly properties: string[];
  readonly readers: string[];
}

/** A section for each table and materialized view, as the catalog and its comments have it. */
export async function tableSections(sql: Sql): Promise<string> {
  return (await readTables(sql)).map(section).join("\n\n");
}

function section({ name, comment, key, properties, readers }: Table): string {
  const facts = [
    ...(key === null ? [] : [`Key: ${key}.`]),
    ...properties,
    readers.length === 0 ? "No login reads it." : `Read by ${readers.join(", ")}.`,
  ];
  return `### ${name}\n\n${description(comment)}\n\n${facts.join(" ")}`;
}

/** A comment without the lines that steer PostGraphile. */
function description(comment: string | null): string {
  const lines = (comment ?? "").split("\n");
  return lines
    .filter((line) => !line.startsWith("@"))
    .join(" ")
    .trim();
}

function readTables(sql: Sql): Promise<Table[]> {
  return sql<Table[]>`
    select
      c.relnamespace::regnamespace || '.' || c.relname as name,
      obj_description(c.oid, 'pg_class') as comment,
      (
        select string_agg(
          '\`' || a.attname || '\`', ', ' order by array_position(i.indkey::smallint[], a.attnum)
        )
        from pg_index as i
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)
        where i.indrelid = c.oid and i.indisprimary
      ) as key,
      array_remove(
        array[
          case when c.relkind = 'p' then 'Partitioned by time.' end,
          case when c.relkind = 'm' then 'Materialized view.' end,
          case when c.relpersistence = 'u' then 'Not logged.' end,
          case when c.relrowsecurity then 'Row-level security.' end
        ],
        null
      ) as properties,
      array(
        select '\`' || r.rolname || '\`'
        from pg_roles as r
        where starts_with(r.rolname, 'rate_limiter_')
          and r.rolname not in ('rate_limiter_owner', 'rate_limiter_migrator')
          and has_any_column_privilege(r.oid, c.oid, 'select')
        order by r.rolname collate "C"
      ) as readers
    from pg_class as c
    where c.relkind in ('r', 'p', 'm')
      and not c.relispartition
      and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
    order by c.relnamespace::regnamespace::text collate "C", c.relname collate "C"
  `;
}
