import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { migrate } from "../../src/migrations/migrate.ts";
import { serverAccount } from "../../src/postgres/account.ts";
import { giveTo } from "../../src/postgres/cluster.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { startThrowawayServer, type ThrowawayServer } from "../../src/postgres/throwaway-server.ts";
import { withDatabase, withLogin, withRole } from "../../src/postgres/url.ts";
import { seedDemo } from "../../src/start/seed-demo.ts";
import type { UserError } from "../../src/user-error.ts";

/**
 * Databases as platforms hand them out. Each migration ends in a system that decides, or in a
 * message with what an administrator runs, after which it does.
 */
let server: ThrowawayServer;
beforeAll(async () => {
  server = await startThrowawayServer();
});
afterAll(() => server.stop());

const asAdministrator = async (database: string, ...statements: string[]) =>
  withConnection(withDatabase(server.url, database), async (sql) => {
    for (const statement of statements) await sql.unsafe(statement);
  });

/** A database as its administrator leaves it, and the address of the login that is to migrate. */
async function layout(
  name: string,
  { login = "createrole", owns = true, statements = [] as string[] },
): Promise<string> {
  await asAdministrator("postgres", `create role ${name} login ${login} password '${name}'`);
  await asAdministrator("postgres", `create database ${name} ${owns ? `owner ${name}` : ""}`);
  await asAdministrator(name, ...statements);
  return withLogin(withDatabase(server.url, name), name, name);
}

/** Roles are the whole server's, and belong to who made them: here always to the administrator. */
beforeAll(async () => {
  await asAdministrator("postgres", "create database first");
  await migrate(withDatabase(server.url, "first"));
});
const member = "in role rate_limiter_migrator";

async function decides(name: string): Promise<boolean> {
  const administrator = withDatabase(server.url, name);
  const apiKey = (await seedDemo(administrator))?.apiKey ?? "";
  const [decision] = await withConnection(
    withRole(administrator, "rate_limiter_app"),
    (sql) => sql`
      select allowed from rate_limiter.consume_with_key(${apiKey}, 'read_small', 1000)
    `,
  );
  return decision?.allowed;
}

async function statementsOf(migrating: Promise<void>, code: string): Promise<string[]> {
  const error: UserError = await migrating.then(
    () => expect.unreachable("the migration succeeded"),
    (reason) => reason,
  );
  expect(error).toMatchObject({ code });
  return [...(error.hint ?? "").matchAll(/(?:create|grant|alter) [^;]+;/g)].map(([text]) => text);
}

describe("extensions", () => {
  test("that a platform has made in a schema of its own stay there", async () => {
    const url = await layout("own_schema", {
      statements: [
        "create schema extensions",
        ...["pgcrypto", "pg_trgm", "btree_gist"].map(
          (e) => `create extension ${e} schema extensions`,
        ),
        "grant usage on schema extensions to public",
        "grant create on database own_schema to rate_limiter_owner",
      ],
      login: member,
      owns: false,
    });
    await migrate(url);
    expect(await decides("own_schema")).toBe(true);
  });

  test("in a schema that the login may not open are told as a grant", async () => {
    const url = await layout("closed_schema", {
      statements: [
        "create schema extensions",
        ...["pg_trgm", "btree_gist"].map((e) => `create extension ${e} schema extensions`),
        "revoke all on schema extensions from public",
      ],
      login: member,
    });
    const statements = await statementsOf(migrate(url), "bootstrap_forbidden");
    expect(statements).toEqual(["grant usage on schema extensions to rate_limiter_owner;"]);
    await asAdministrator("closed_schema", ...statements);
    await migrate(url);
    expect(await decides("closed_schema")).toBe(true);
  });

  test.each([
    ["public", []],
    ["rate_limiter_extensions", ["drop schema public"]],
  ])(
    "that the login may not make in %s are told as statements that suffice",
    async (schema, drop) => {
      const name = `refused_${schema}`;
      const url = await layout(name, {
        statements: [
          ...drop,
          // Stands for a platform that lets its administrator alone make them.
          "create schema platform",
          `create function platform.refuse() returns event_trigger language plpgsql as $$ begin
          if session_user = '${name}' then
            raise insufficient_privilege using message = 'permission denied to create extension';
          end if;
        end; $$`,
          `create event trigger refuse on ddl_command_start when tag in ('CREATE EXTENSION')
          execute function platform.refuse()`,
        ],
        login: member,
      });
      const statements = await statementsOf(migrate(url), "migration_failed");
      expect(statements).toEqual([
        `create schema if not exists ${schema};`,
        `grant usage on schema ${schema} to rate_limiter_owner;`,
        `create extension if not exists btree_gist with schema ${schema};`,
        `create extension if not exists pg_trgm with schema ${schema};`,
      ]);
      await asAdministrator(name, ...statements);
      await migrate(url);
      expect(await decides(name)).toBe(true);
    },
  );

  test("that the server does not have are named", async () => {
    const bare = await startThrowawayServer(undefined, { extension_control_path: "/nowhere" });
    onTestFinished(() => bare.stop());
    await expect(migrate(bare.url)).rejects.toMatchObject({
      code: "migration_failed",
      message: expect.stringContaining("missing: btree_gist, pg_trgm"),
      hint: expect.stringContaining("contrib package"),
    });
  });
});

describe("the schema public", () => {
  test.each([
    ["without rights for PUBLIC", "public_revoked", "revoke all on schema public from public"],
    ["that is not there", "public_dropped", "drop schema public"],
  ])("%s does not stop a login that owns its database", async (_, name, statement) => {
    const url = await layout(name, { statements: [statement], login: member });
    await migrate(url);
    await migrate(url);
    expect(await decides(name)).toBe(true);
  });

  test("that is not there does not stop a superuser", async () => {
    const url = await layout("superuser_alone", {
      statements: ["drop schema public"],
      login: "superuser",
    });
    await migrate(url);
    expect(await decides("superuser_alone")).toBe(true);
  });

  test("that only its administrator may open is told as a grant", async () => {
    const url = await layout("public_closed", {
      statements: [
        "revoke all on schema public from public",
        "grant create on database public_closed to rate_limiter_owner",
      ],
      login: member,
      owns: false,
    });
    const statements = await statementsOf(migrate(url), "bootstrap_forbidden");
    expect(statements).toEqual(["grant usage on schema public to rate_limiter_owner;"]);
    await asAdministrator("public_closed", ...statements);
    await migrate(url);
    expect(await decides("public_closed")).toBe(true);
  });
});

describe("a disk", () => {
  const place = mkdtempSync(join(tmpdir(), "storage-qos-disk-"));
  const mounting = spawnSync("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", place]);
  const isMounted = mounting.status === 0;
  afterAll(() => {
    if (isMounted) execFileSync("umount", ["--lazy", place]);
    rmSync(place, { recursive: true });
  });

  test.skipIf(!isMounted)("that is full is told, and what it stopped goes on later", async () => {
    const folder = join(place, "data");
    mkdirSync(folder);
    giveTo(serverAccount(), folder);
    await asAdministrator("postgres", `create tablespace small location '${folder}'`);
    await asAdministrator("postgres", "create database cramped tablespace small");
    const url = withDatabase(server.url, "cramped");
    await expect(migrate(url)).rejects.toMatchObject({
      code: "no_space_left",
      message: expect.stringContaining("No space left on device"),
    });
    execFileSync("mount", ["-o", "remount,size=200m", place]);
    await migrate(url);
    expect(await decides("cramped")).toBe(true);
    await asAdministrator("postgres", "drop database cramped", "drop tablespace small");
  });
});
