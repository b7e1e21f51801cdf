import type { Sql } from "../postgres/connect.ts";

interface Column {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly keys: string | null;
}

interface Relation {
  readonly parent: string;
  readonly child: string;
  readonly columns: string;
  readonly is_optional: boolean;
  readonly is_one: boolean;
}

/** The entity diagram, in Mermaid, as the catalog has it. */
export async function diagram(sql: Sql): Promise<string> {
  const { columns, relations } = await readCatalog(sql);
  const tables = [...new Set(columns.map((column) => column.table))];
  return [
    "```mermaid",
    "erDiagram",
    ...relations.map(relationLine),
    ...tables.flatMap((table) => [
      `    ${table} {`,
      ...columns.filter((column) => column.table === table).map(columnLine),
      "    }",
    ]),
    "```",
  ].join("\n");
}

function relationLine({ parent, child, columns, is_optional, is_one }: Relation): string {
  return `    ${parent} ${is_optional ? "|o" : "||"}--${is_one ? "o|" : "o{"} ${child} : "${columns}"`;
}

function columnLine({ name, type, keys }: Column): string {
  return `        ${type} ${name}${keys === null ? "" : ` ${keys}`}`;
}

async function readCatalog(sql: Sql): Promise<{ columns: Column[]; relations: Relation[] }> {
  const [row] = await sql<{ columns: Column[]; relations: Relation[] }[]>`
    with our_tables as (
      select c.oid, c.relname as name
      from pg_class as c
      where c.relkind in ('r', 'p')
        and not c.relispartition
        and starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
    ),
    columns as (
      select
        t.name as table, a.attname as name, a.attnum,
        -- Mermaid takes a type for one word.
        regexp_replace(
          replace(
            replace(
              format_type(a.atttypid, null), 'timestamp with time zone', 'timestamptz'
            ),
            'character varying', 'varchar'
          ),
          '^.*[.]| .*$', '', 'g'
        ) as type,
        (
          select string_agg(distinct case k.contype when 'p' then 'PK' else 'FK' end, ', ')
          from pg_constraint as k
          where k.conrelid = t.oid and k.contype in ('p', 'f') and a.attnum = any (k.conkey)
        ) as keys
      from our_tables as t
      join pg_attribute as a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    ),
    relations as (
      select
        parent.name as parent, child.name as child,
        string_agg(a.attname, ', ' order by a.attnum) as columns,
        not bool_and(a.attnotnull) as is_optional,
        exists (
          select
          from pg_index as i
          where i.indrelid = k.conrelid
            and i.indisunique
            and i.indpred is null
            and i.indkey::smallint[] <@ k.conkey
        ) as is_one
      from pg_constraint as k
      join our_tables as child on child.oid = k.conrelid
      join our_tables as parent on parent.oid = k.confrelid
      join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = any (k.conkey)
      where k.contype = 'f'
      group by k.oid, k.conrelid, k.conkey, parent.name, child.name
    )
    select
      (
        select json_agg(c order by c.table collate "C", c.attnum) from columns as c
      ) as columns,
      (
        select json_agg(
          r order by r.parent collate "C", r.child collate "C", r.columns collate "C"
        )
        from relations as r
      ) as relations
  `;
  if (row === undefined) throw new Error("the catalog did not answer");
  return row;
}

/** The page with its diagram put in place of the one that it has. */
export function withDiagram(page: string, made: string): string {
  return withGenerated(page, "the diagram", made);
}

/** The page with a generated part put in place of the one that it has. */
export function withGenerated(page: string, part: string, made: string): string {
  const begin = `<!-- begin of ${part}: npm run db:diagram writes it from the catalog -->`;
  const from = page.indexOf(begin);
  const to = page.indexOf(`<!-- end of ${part} -->`);
  if (from < 0 || to < from) throw new Error(`the page has no place for ${part}`);
  return `${page.slice(0, from)}${begin}\n\n${made}\n\n${page.slice(to)}`;
}
