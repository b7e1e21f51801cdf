import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { harden } from "../../src/migrations/harden.ts";
import { migrate } from "../../src/migrations/migrate.ts";
import { type Sql, withConnection } from "../../src/postgres/connect.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../src/postgres/throwaway-server.ts";
import { withDatabase, withLogin, withRole } from "../../src/postgres/url.ts";

/** What a login that was stolen can do to the server beside its work. Rights on a database are its own. */
const roles = ["app", "worker", "authenticator", "readonly", "migrator"] as const;

let server: ThrowawayServer;
beforeAll(async () => {
  server = await startThrowawayServer();
  await asAdministrator("postgres", "create database hardened");
  await migrate(withDatabase(server.url, "hardened"));
  for (const role of roles) {
    const login = `stolen_${role} login password 'stolen' in role rate_limiter_${role}`;
    await asAdministrator("postgres", `create role ${login}`);
  }
});
afterAll(() => server.stop());

const asAdministrator = (database: string, ...statements: string[]) =>
  withConnection(withDatabase(server.url, database), async (sql) => {
    for (const statement of statements) await sql.unsafe(statement);
  });

const urlOf = (login: string, database = "hardened") =>
  withLogin(withDatabase(server.url, database), login, "stolen");

async function codeOf(sql: Sql, statement: string): Promise<string> {
  const error = await sql.unsafe(statement).catch((reason: { code: string }) => reason);
  return "code" in error ? error.code : "done";
}

const attempt = (url: string, statement: string) =>
  withConnection(url, (sql) => codeOf(sql, statement));

describe("a login", () => {
  const statements = {
    "makes no temporary table": "create temporary table pile (junk text)",
    "makes no large object": "select lo_create(0)",
    "fills no large object": "select lo_from_bytea(0, 'junk')",
    "makes no table in public": "create table public.pile (junk text)",
    "makes no schema": "create schema pile",
    "gives another login no settings": "alter role stolen_readonly_other set search_path = pile",
    "gives the database no settings": "alter database hardened set search_path = pile",
    "gives itself no rights": "alter role current_user superuser",
  };
  beforeAll(() => asAdministrator("postgres", "create role stolen_readonly_other login"));

  const codesOf = (url: string) =>
    withConnection(url, async (sql) => {
      const codes: Record<string, string> = {};
      for (const [name, statement] of Object.entries(statements)) {
        codes[name] = await codeOf(sql, statement);
      }
      return codes;
    });
  const refused = Object.fromEntries(Object.keys(statements).map((name) => [name, "42501"]));

  test.for(roles)("in %s fills nothing, and changes no other login", async (role) => {
    expect(await codesOf(urlOf(`stolen_${role}`))).toEqual(refused);
  });

  test("that became the visitor does neither", async () => {
    const url = withRole(urlOf("stolen_authenticator"), "rate_limiter_visitor");
    expect(await codesOf(url)).toEqual(refused);
  });

  test("that gives itself settings is told to Prometheus, and one of the guide is not", async () => {
    const counted = () =>
      withConnection(
        urlOf("stolen_worker"),
        (sql) => sql<{ label: string; value: number }[]>`
          select s.label, s.value
          from rate_limiter_private.metrics_snapshot() as s
          where s.name = 'login_settings'
        `,
      );
    await asAdministrator(
      "postgres",
      "alter role stolen_worker set default_transaction_isolation = 'read committed'",
      "alter role stolen_worker set idle_in_transaction_session_timeout = '5s'",
      "alter role stolen_worker set log_statement = 'all'",
    );
    expect((await counted()).filter(({ value }) => value > 0)).toEqual([]);
    await withConnection(urlOf("stolen_app"), async (sql) => {
      const alter = "alter role stolen_app set";
      expect(await codeOf(sql, `${alter} search_path = pile`)).toBe("done");
      expect(await codeOf(sql, `${alter} default_transaction_isolation = serializable`)).toBe(
        "done",
      );
      expect(await codeOf(sql, `${alter} rate_limiter.user_id = '1'`)).toBe("42501");
    });
    const found = await counted();
    expect(found.filter(({ value }) => value > 0)).toEqual([{ label: "stolen_app", value: 2 }]);
    expect(found).toContainEqual({ label: "stolen_worker", value: 0 });
  });
});

describe("a migration", () => {
  const hardenAs = (url: string) => withConnection(url, (sql: Sql) => harden(sql));

  test("by who owns the database alone tells what a superuser runs in it", async () => {
    await asAdministrator(
      "postgres",
      "create role landlord login password 'stolen' in role rate_limiter_migrator",
      "create database owned owner landlord",
      "grant create on database owned to rate_limiter_owner",
    );
    await migrate(urlOf("landlord", "owned"));
    const left = await hardenAs(urlOf("landlord", "owned"));
    expect(left).toEqual([
      expect.stringMatching(/^revoke execute on function lo_creat\(integer\), /),
    ]);
    expect(await attempt(urlOf("stolen_app", "owned"), "create temporary table pile ()")).toBe(
      "42501",
    );
    await asAdministrator("owned", ...left);
    expect(await hardenAs(urlOf("landlord", "owned"))).toEqual([]);
    expect(await attempt(urlOf("stolen_app", "owned"), "select lo_create(0)")).toBe("42501");
  });

  test("by who may revoke nothing tells everything, and goes on", async () => {
    await asAdministrator(
      "postgres",
      "create role lodger login password 'stolen' in role rate_limiter_migrator",
      "create database lent",
      "grant create on database lent to rate_limiter_owner",
    );
    await migrate(urlOf("lodger", "lent"));
    const left = await hardenAs(urlOf("lodger", "lent"));
    expect(left.slice(0, 2)).toEqual([
      "grant temporary on database lent to rate_limiter_owner",
      "revoke temporary on database lent from public",
    ]);
    await asAdministrator("lent", ...left);
    expect(await hardenAs(urlOf("lodger", "lent"))).toEqual([]);
  });
});
