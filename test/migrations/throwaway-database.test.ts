import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { withThrowawayDatabase } from "../../src/migrations/throwaway-database.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { databaseOf, withDatabase } from "../../src/postgres/url.ts";
import { createDatabase } from "../harness/index.ts";
import { openTestServer } from "../harness/test-server.ts";

const database = await createDatabase();
const server = withDatabase(database.url, "postgres");

beforeEach(() => {
  vi.stubEnv("DATABASE_URL", "");
});
afterEach(() => {
  vi.unstubAllEnvs();
});

describe("withThrowawayDatabase", () => {
  test("gives a migrated database, and again a fresh one", async () => {
    const visit = () =>
      withThrowawayDatabase(async ({ sql }) => {
        const [row] = await sql`select to_regclass('rate_limiter.visited') as visited`;
        await sql`create table rate_limiter.visited ()`;
        const [tenants] = await sql`select to_regclass('rate_limiter.tenants') as name`;
        return { visited: row?.visited, tenants: tenants?.name };
      });
    const fresh = { visited: null, tenants: "rate_limiter.tenants" };
    expect(await visit()).toEqual(fresh);
    expect(await visit()).toEqual(fresh);
  });

  test("leaves no server behind when its user fails", async () => {
    let url = "";
    const failing = withThrowawayDatabase(async (database) => {
      url = database.url;
      throw new Error("mine");
    });
    await expect(failing).rejects.toThrow("mine");
    await expect(withConnection(url, (sql) => sql`select 1`)).rejects.toMatchObject({
      code: "ECONNREFUSED",
    });
  });

  test("uses the server of DATABASE_URL and drops its database there", async () => {
    vi.stubEnv("DATABASE_URL", server);
    const name = await withThrowawayDatabase(async ({ url }) => databaseOf(url));
    expect(new URL(server).host).toBe(new URL(database.url).host);
    const left = await database.sql`select from pg_database where datname = ${name}`;
    expect(left.count).toBe(0);
  });
});

describe("openTestServer", () => {
  test("takes DATABASE_URL as it is", async () => {
    const given = await openTestServer({ DATABASE_URL: server });
    await given.stop();
    expect(given.url).toBe(server);
    expect(await withConnection(given.url, (sql) => sql`select 1 as one`)).toEqual([{ one: 1 }]);
  });

  test("falls back to an embedded server where no Docker answers", async () => {
    vi.stubEnv("DOCKER_HOST", "tcp://127.0.0.1:9");
    const server = await openTestServer({ TEST_DATABASE: "testcontainers" });
    const [row] = await withConnection(server.url, (sql) => sql`select version() as version`);
    await server.stop();
    expect(row?.version).toMatch(/^PostgreSQL /);
  });
});
