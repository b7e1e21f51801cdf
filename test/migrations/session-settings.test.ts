import { expect, inject, onTestFinished, test } from "vitest";
import { migrate } from "../../src/migrations/migrate.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { withDatabase } from "../../src/postgres/url.ts";
import { openPool } from "../../src/worker/pool.ts";
import { createDatabase, type TestDatabase } from "../harness/index.ts";

const database = await createDatabase();

const hostile: Readonly<Record<string, string>> = {
  standard_conforming_strings: "off",
  backslash_quote: "off",
  timezone: "Asia/Kolkata",
  datestyle: "SQL, DMY",
  intervalstyle: "sql_standard",
  extra_float_digits: "0",
  bytea_output: "escape",
};

async function setHostile(name: string): Promise<void> {
  for (const [setting, value] of Object.entries(hostile)) {
    await database.sql.unsafe(`alter database ${name} set ${setting} = '${value}'`);
  }
}

/** What migrations made, as the catalog has it. */
async function catalogOf(url: string): Promise<string[]> {
  return withConnection(url, async (sql) => {
    const rows = await sql<{ line: string }[]>`
      select p.oid::regprocedure || ' ' || md5(p.prosrc) || ' ' || coalesce(p.proconfig::text, '')
        as line
      from pg_proc as p where p.pronamespace::regnamespace::text like 'rate\\_limiter%'
      union all
      select k.conrelid::regclass || ' ' || pg_get_constraintdef(k.oid)
      from pg_constraint as k
      where k.connamespace::regnamespace::text like 'rate\\_limiter%'
        and k.connamespace <> 'rate_limiter_partitions'::regnamespace
      union all
      select c.oid::regclass || ' ' || md5(pg_get_viewdef(c.oid))
      from pg_class as c
      where c.relkind in ('v', 'm') and c.relnamespace::regnamespace::text like 'rate\\_limiter%'
      union all
      select (to_jsonb(s) - 'setting_id' - 'updated_at')::text from rate_limiter.system_settings as s
      union all
      select concat_ws(' ', p.partition_name, p.starts_at, p.ends_at)
      from rate_limiter_internal.partitions() as p
    `;
    return rows.map(({ line }) => line).sort();
  });
}

test("migrations make the same of a database, whatever sessions there are set to", async () => {
  const name = `${database.name}_set`;
  await database.sql.unsafe(`create database ${name}`);
  onTestFinished(() => database.sql.unsafe(`drop database ${name} with (force)`).then(() => {}));
  await setHostile(name);
  const url = withDatabase(inject("harness").url, name);
  await migrate(url);
  expect(await catalogOf(url)).toEqual(await catalogOf(database.url));
});

test("sessions of the product read and spell values in one way", async () => {
  const set: TestDatabase = await createDatabase();
  await setHostile(set.name);
  const spell = `
    select current_setting('standard_conforming_strings') as strings,
      (timestamptz '2026-01-01Z')::text as moment, (interval '1 day 2 hours')::text as span,
      (1::double precision / 3)::text as float, '\\x61'::bytea::text as bytes
  `;
  const spelled = {
    strings: "on",
    moment: "2026-01-01 00:00:00+00",
    span: "1 day 02:00:00",
    float: "0.3333333333333333",
    bytes: "\\x61",
  };
  const rows = await withConnection(set.url, (sql) => sql.unsafe(spell));
  expect([...rows]).toEqual([spelled]);
  const { pool, close } = openPool(set.urlAs("rate_limiter_worker"), 1);
  onTestFinished(close);
  expect((await pool.query(spell)).rows).toEqual([spelled]);
});
