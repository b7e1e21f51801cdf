import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { bootstrap } from "../../src/migrations/bootstrap.ts";
import { migrate } from "../../src/migrations/migrate.ts";
import { projectPath } from "../../src/paths.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../src/postgres/throwaway-server.ts";
import { withDatabase, withLogin } from "../../src/postgres/url.ts";
import type { UserError } from "../../src/user-error.ts";

const run = promisify(execFile);

/** Roles are the whole server's: only a server of this file's own is without them. */
let server: ThrowawayServer;
beforeAll(async () => {
  server = await startThrowawayServer();
});
afterAll(() => server.stop());

/** A database and a login that owns it, or does not. */
async function prepareLogin(
  name: string,
  options: string,
  owns: boolean,
  serverUrl: string = server.url,
): Promise<string> {
  await withConnection(serverUrl, async (sql) => {
    await sql.unsafe(`create role ${name} login ${options} password '${name}'`);
    await sql.unsafe(`create database ${name} ${owns ? `owner ${name}` : ""}`);
  });
  return withLogin(withDatabase(serverUrl, name), name, name);
}

const asAdministrator = (database: string, statement: string) =>
  withConnection(withDatabase(server.url, database), (sql) => sql.unsafe(statement));

/** Read from the catalog: the login itself may not look into our schemas. */
async function isMigrated(url: string): Promise<boolean> {
  const found = await withConnection(
    url,
    (sql) => sql`
      select from pg_class
      where relname = 'tenants' and relnamespace = to_regnamespace('rate_limiter')
    `,
  );
  return found.count === 1;
}

describe("a login without rights", () => {
  test("is told what to run, and migrates once that has been run", async () => {
    const url = await prepareLogin("modest", "", false);
    const error = await migrate(url).catch((reason: UserError) => reason);
    expect(error).toMatchObject({ code: "bootstrap_forbidden" });

    const hint = (error as UserError).hint ?? "";
    const statements = hint.split("\n").filter((line) => line.endsWith(";"));
    expect(statements.join("\n")).toContain("create role rate_limiter_owner nologin");
    expect(statements.join("\n")).toContain(
      "grant create on database modest to rate_limiter_owner",
    );
    expect(statements.join("\n")).toContain(
      "alter role rate_limiter_app set default_transaction_isolation = 'read committed'",
    );
    for (const statement of statements) await asAdministrator("modest", statement);

    await migrate(url);
    expect(await isMigrated(url)).toBe(true);
  });

  test("is told so of a second database too, where the roles are there", async () => {
    await withConnection(server.url, bootstrap);
    const url = await prepareLogin("second", "in role rate_limiter_migrator", false);
    await expect(withConnection(url, bootstrap)).rejects.toMatchObject({
      code: "bootstrap_forbidden",
      hint: expect.stringMatching(/\n {2}grant create on database second to rate_limiter_owner;$/),
    });
    await asAdministrator("second", "grant create on database second to rate_limiter_owner");
    await withConnection(url, bootstrap);
  });
});

describe("a login that may make roles and owns its database", () => {
  test("needs no other login", async () => {
    const other = await startThrowawayServer();
    onTestFinished(() => other.stop());
    const url = await prepareLogin("maker", "createrole", true, other.url);
    await migrate(url);
    await migrate(url);
    expect(await isMigrated(url)).toBe(true);
  });
});

describe("a database that PUBLIC may not connect to", () => {
  test("lets only the roles connect", async () => {
    await asAdministrator("postgres", "create database closed");
    await asAdministrator("postgres", "revoke connect on database closed from public");
    await migrate(withDatabase(server.url, "closed"));
    const rows = await withConnection(
      server.url,
      (sql) => sql`
        select rolname as role
        from pg_roles
        where has_database_privilege(rolname, 'closed', 'connect') and not rolsuper
          and starts_with(rolname, 'rate_limiter_')
        order by rolname
      `,
    );
    expect(rows.map((row) => row.role)).toEqual([
      "rate_limiter_app",
      "rate_limiter_authenticator",
      "rate_limiter_migrator",
      "rate_limiter_owner",
      "rate_limiter_readonly",
      "rate_limiter_worker",
    ]);
  });
});

/** As many as a deployment starts, and in .ci/full many more. */
const atOnce = process.env.QOS_TEST_FULL ? 20 : 5;

describe("processes that start at once", () => {
  test("all succeed on one empty database, and the work is done once", async () => {
    await asAdministrator("postgres", "create database contended");
    const url = withDatabase(server.url, "contended");
    const env = { ...process.env, DATABASE_URL: url };
    const main = projectPath("src/cli/main.ts");
    const processes = Array.from({ length: atOnce }, () =>
      run(process.execPath, [main, "migrate"], { env }),
    );
    const answers = await Promise.all(processes);
    for (const { stdout } of answers) expect(stdout).toBe("database contended is up to date\n");
    expect(await isMigrated(url)).toBe(true);
  }, 120_000);

  test("make the roles of one server from several databases", async () => {
    const names = Array.from({ length: 4 }, (_, index) => `parallel_${index}`);
    for (const name of names) await asAdministrator("postgres", `create database ${name}`);
    const urls = names.map((name) => withDatabase(server.url, name));
    await Promise.all(urls.map((url) => migrate(url)));
    for (const url of urls) expect(await isMigrated(url)).toBe(true);
  }, 60_000);
});

describe("a failing migration", () => {
  test("is shown with its place and the server's words", async () => {
    const url = await prepareLogin("blocked", "superuser", false);
    await asAdministrator(
      "blocked",
      "create schema rate_limiter; create table rate_limiter.tenants ()",
    );
    await expect(migrate(url)).rejects.toMatchObject({
      code: "migration_failed",
      message: expect.stringMatching(/^the migration failed\n(.*\n)*.*42[P0-9]/),
    });
  });
});
