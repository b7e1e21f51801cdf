import { onTestFinished } from "vitest";
import { seriesTables } from "../../../src/timescale/series.ts";
import type { TestDatabase } from "../../harness/index.ts";
import { storeOf } from "../../harness/samples.ts";

const isSeries = (table: string) => (seriesTables as readonly string[]).includes(table);

/** Makes every write of an application's rows to a table fail, until the end of the test. */
export async function failing(
  { sql }: TestDatabase,
  table: string,
  appId: string,
  { code = "22003", column = "app_id" } = {},
): Promise<void> {
  const place = isSeries(table) ? storeOf(table) : `rate_limiter.${table}`;
  const name = `fails_${appId.replaceAll("-", "")}`;
  await sql.unsafe(`
    create function public.${name}() returns trigger language plpgsql as $$
    begin
      raise exception using errcode = '${code}', message = 'fails on purpose';
    end;
    $$;
    create trigger ${name} before insert or update on ${place}
    for each row when (new.${column} = '${appId}') execute function public.${name}();
  `);
  onTestFinished(async () => {
    await sql.unsafe(`drop function public.${name}() cascade`);
  });
}

/** What jobs left out of an application. */
export async function failuresOf({ sql }: TestDatabase, appId: string) {
  const rows = await sql`
    select f.job, f.failures::integer as failures, f.last_error as error
    from rate_limiter_private.job_failures as f
    where f.subject = ${appId}
    order by f.job
  `;
  return [...rows];
}
