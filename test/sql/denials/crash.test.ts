import { afterAll, expect, test } from "vitest";
import { migrate } from "../../../src/migrations/migrate.ts";
import { type Sql, withConnection } from "../../../src/postgres/connect.ts";
import { withDatabase, withRole } from "../../../src/postgres/url.ts";
import { startCrashServer } from "../decisions/crash-server.ts";
import { limitedApplication } from "../world.ts";
import { deniedOf, deny } from "./world.ts";

const server = await startCrashServer();
afterAll(() => server.remove());
const url = withDatabase(server.url, "crash");
await withConnection(server.url, (sql) => sql`create database crash`);
await migrate(url);

const minute = new Date(Math.floor(Date.now() / 60_000) * 60_000).toISOString();

function limitedBy(at: string): Promise<string> {
  return withConnection(at, (sql) => limitedApplication(sql, { iops: 1 }));
}

/** A total of a client's minute. */
async function handIn(sql: Sql, appId: string, operations: number): Promise<void> {
  const total = { minute, reason: "iops_l2", counter: "one", operations };
  await sql`select rate_limiter.report_counts(${appId}, ${sql.json([total])})`;
}

test("a crash of PostgreSQL loses no denial that the last fold found on record", async () => {
  const gateway = withRole(url, "rate_limiter_app");
  const worker = withRole(url, "rate_limiter_worker");
  const appId = await limitedBy(url);
  for (let session = 0; session < 3; session++) {
    await withConnection(gateway, (sql) => deny(sql, appId, 8));
  }
  const client = await limitedBy(url);
  await withConnection(gateway, (sql) => handIn(sql, client, 5));
  await withConnection(worker, (sql) => sql`select rate_limiter_private.fold_denials()`);
  await withConnection(gateway, (sql) => handIn(sql, client, 6));
  const folded = await withConnection(url, (sql) => deniedOf({ sql }, appId));
  expect(folded).toBeGreaterThanOrEqual(24);
  await withConnection(gateway, (sql) => deny(sql, appId, 8));
  const seen = await withConnection(url, (sql) => deniedOf({ sql }, appId));
  expect(seen).toBeGreaterThan(folded);

  await server.crash();
  await server.restart();

  expect(await withConnection(url, (sql) => deniedOf({ sql }, appId))).toBe(folded);
  expect(await withConnection(url, (sql) => deniedOf({ sql }, client))).toBe(5);
  await withConnection(gateway, (sql) => handIn(sql, client, 8));
  expect(await withConnection(url, (sql) => deniedOf({ sql }, client))).toBe(8);
  await withConnection(gateway, (sql) => deny(sql, appId, 1));
  expect(await withConnection(url, (sql) => deniedOf({ sql }, appId))).toBe(folded + 1);
});
