import { afterAll, expect, test } from "vitest";
import { migrate } from "../../../src/migrations/migrate.ts";
import { withConnection } from "../../../src/postgres/connect.ts";
import { withDatabase, withRole } from "../../../src/postgres/url.ts";
import { startCrashServer } from "../decisions/crash-server.ts";
import { limitedApplication } from "../world.ts";
import { deniedOf, deny } from "./world.ts";

const server = await startCrashServer();
afterAll(() => server.remove());
const url = withDatabase(server.url, "crash");
await withConnection(server.url, (sql) => sql`create database crash`);
await migrate(url);

test("a crash of PostgreSQL loses no denial that the last fold found on record", async () => {
  const gateway = withRole(url, "rate_limiter_app");
  const worker = withRole(url, "rate_limiter_worker");
  const appId = await withConnection(url, (sql) => limitedApplication(sql, { iops: 1 }));
  for (let session = 0; session < 3; session++) {
    await withConnection(gateway, (sql) => deny(sql, appId, 8));
  }
  await withConnection(worker, (sql) => sql`select rate_limiter_private.fold_denials()`);
  const folded = await withConnection(url, (sql) => deniedOf({ sql }, appId));
  expect(folded).toBeGreaterThanOrEqual(24);
  await withConnection(gateway, (sql) => deny(sql, appId, 8));
  const seen = await withConnection(url, (sql) => deniedOf({ sql }, appId));
  expect(seen).toBeGreaterThan(folded);

  await server.crash();
  await server.restart();

  expect(await withConnection(url, (sql) => deniedOf({ sql }, appId))).toBe(folded);
  await withConnection(gateway, (sql) => deny(sql, appId, 1));
  expect(await withConnection(url, (sql) => deniedOf({ sql }, appId))).toBe(folded + 1);
});
