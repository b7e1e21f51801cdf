import type { TestDatabase } from "../harness/index.ts";

/**
 * For this database, time stands still from now on: it passes by a microsecond each time that it is
 * read, so that a bucket gets back nothing to speak of, however slow the machine is.
 */
export async function stopClock({ sql }: Pick<TestDatabase, "sql">): Promise<void> {
  await sql`create sequence public.read_us as bigint`;
  await sql`grant usage on public.read_us to public`;
  const [row] = await sql`select clock_timestamp()::text as at`;
  await sql`alter function pg_catalog.clock_timestamp() rename to real_clock_timestamp`;
  await sql.unsafe(`
    create function pg_catalog.clock_timestamp()
    returns timestamptz
    language plpgsql
    volatile
    as $$
    begin
      return timestamptz '${row?.at}' + nextval('public.read_us') * interval '1 microsecond';
    end;
    $$
  `);
}
