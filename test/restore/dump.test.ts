import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { migrate } from "../../src/migrations/migrate.ts";
import { snapshot } from "../../src/migrations/snapshot.ts";
import { type Sql, withConnection } from "../../src/postgres/connect.ts";
import { databaseOf, withDatabase, withRole } from "../../src/postgres/url.ts";
import { makeTwoTenants } from "../data-model/world.ts";
import { createDatabase } from "../harness/index.ts";
import { ledgerGaps, limitedApplication } from "../sql/world.ts";

const run = promisify(execFile);
const database = await createDatabase();
const [version] = await database.sql`
  select current_setting('server_version_num')::integer / 10000 as major
`;
const programs = `/usr/lib/postgresql/${version?.major}/bin`;
const folder = mkdtempSync(join(tmpdir(), "storage-qos-dump-"));
const copyName = `${databaseOf(database.url)}_copy`;
const copy = withDatabase(database.url, copyName);
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await database.sql`drop database if exists ${database.sql(copyName)} with (force)`;
});

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

/** The embedded server comes without pg_dump; `.ci/other-versions` runs this where there is one. */
test.skipIf(!existsSync(join(programs, "pg_dump")))(
  "a dump becomes the same database again: schema, rights, rows, and a ledger that explains them",
  async () => {
    const { sql } = database;
    await makeTwoTenants(database);
    await sql`delete from rate_limiter.token_transactions`;
    await sql`update rate_limiter.token_buckets set ledger_seq = 0`;
    const appId = await limitedApplication(sql, { iops: 1, burst: 1_000, bytes: 1_000_000 });
    const consume = (url: string) =>
      withConnection(
        withRole(url, "rate_limiter_app"),
        (app) => app`select allowed from rate_limiter.consume(${appId}, 'read_small', 100)`,
      );
    for (let call = 0; call < 5; call++) await consume(database.url);

    const file = join(folder, "qos.dump");
    await run(join(programs, "pg_dump"), ["-Fc", "-f", file, database.url]);
    await sql`create database ${sql(copyName)}`;
    await run(join(programs, "pg_restore"), ["--exit-on-error", "-d", copy, file]);
    await migrate(copy);

    expect(await rowCounts(copy)).toEqual(await rowCounts(database.url));
    await withConnection(copy, async (copied) => {
      expect(await schemaOf(copied)).toBe(await schemaOf(sql));
      expect(await ledgerGaps(copied)).toEqual([]);
      expect((await consume(copy))[0]?.allowed).toBe(true);
      expect(await ledgerGaps(copied)).toEqual([]);
    });
  },
);
