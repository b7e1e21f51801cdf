import type { PoolClient } from "pg";

/** A column of an archive's file, with its type in PostgreSQL's words: numeric(38,6), say. */
export interface ArchivedColumn {
  readonly name: string;
  readonly type: string;
}

const columnsOfRelation = `
  select
    a.attname::text as name,
    case t.typtype
      when 'd' then format_type(t.typbasetype, t.typtypmod)
      else format_type(a.atttypid, a.atttypmod)
    end as type
  from pg_catalog.pg_attribute as a
  join pg_catalog.pg_type as t on t.oid = a.atttypid
  join pg_catalog.pg_class as c on c.oid = a.attrelid
  join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname || '.' || c.relname = $1 and a.attnum > 0 and not a.attisdropped
`;

/** Those of a file whose first line names them, in its order. */
export async function archivedColumns(
  client: PoolClient,
  relation: string,
  names: readonly string[],
): Promise<ArchivedColumn[]> {
  const { rows } = await client.query<ArchivedColumn>(columnsOfRelation, [relation]);
  const types = new Map(rows.map(({ name, type }) => [name, type]));
  return names.map((name) => ({ name, type: types.get(name) ?? "text" }));
}
