import { describe, expect, test, vi } from "vitest";
import { addQuota, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { counter, startGateway } from "./gateway-world.ts";
import { missing } from "./nginx.ts";

describe.skipIf(missing !== undefined)("a gateway borrows by itself", async () => {
  const database = await createDatabase();
  const { nginx } = missing === undefined ? await startGateway(database) : (undefined as never);

  /** Deletes until the first denial; how many were admitted. */
  async function deleteUntilDenied(apiKey: string): Promise<number> {
    for (let admitted = 0; admitted < 500; admitted += 1) {
      const response = await fetch(`${nginx.url}/b/o`, {
        method: "DELETE",
        headers: { "X-API-Key": apiKey },
      });
      if (response.status !== 200) return admitted;
    }
    throw new Error("never denied");
  }

  async function borrowed(appId: string): Promise<number> {
    const [row] = await database.sql`
      select coalesce(sum(tokens_borrowed), 0)::float8 as tokens
      from rate_limiter.token_borrowing where owner_id = ${appId}
    `;
    return row?.tokens;
  }

  const borrowCalls = () => counter(nginx, /^qos_database_calls_total\{call="borrow"\}/);

  test("for an application that may: what it borrows is admitted on top", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1, burst: 100 } });
    await database.sql`
      update rate_limiter.applications set auto_borrow = true where app_id = ${world.appId}
    `;
    const since = performance.now();
    const admitted = await deleteUntilDenied(world.apiKey);
    const refilled = (performance.now() - since) / 1_000;
    const credit = await borrowed(world.appId);
    expect(credit).toBeGreaterThanOrEqual(50);
    expect(admitted * 5).toBeGreaterThan(100);
    expect(admitted * 5).toBeLessThanOrEqual(100 + credit + refilled + 1);
    await vi.waitFor(
      async () => expect(await counter(nginx, /^qos_borrowings_total/)).toBeGreaterThan(0),
      30_000,
    );
  });

  test("for no other, which is asked for once in a while only", async () => {
    const world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1, method: "fixed_window", seconds: 1_200 } });
    const before = await borrowCalls();
    await deleteUntilDenied(world.apiKey);
    for (let i = 0; i < 30; i += 1) expect(await deleteUntilDenied(world.apiKey)).toBe(0);
    await vi.waitFor(async () => expect(await borrowCalls()).toBe(before + 1), 30_000);
    expect(await borrowed(world.appId)).toBe(0);
  });
});
