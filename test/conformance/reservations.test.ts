import { describe, expect, test } from "vitest";
import type { Sql } from "../../src/postgres/connect.ts";
import { addQuota, type ClientWorld, makeWorld } from "../client/world.ts";
import { createDatabase } from "../harness/index.ts";
import { type Asker, simulate } from "./simulate.ts";
import { drivers, missing } from "./virtual-drivers.ts";
import { startVirtualTime } from "./virtual-time.ts";

if (missing !== undefined) console.warn(`the gateway is left out: ${missing}`);

/** Another application, with a key, on the cluster of a world. */
async function sibling(sql: Sql, { clusterId }: ClientWorld): Promise<ClientWorld> {
  const world = await makeWorld({ sql });
  await sql`
    update rate_limiter.applications set cluster_id = ${clusterId} where app_id = ${world.appId}
  `;
  return { ...world, clusterId };
}

async function reserve(sql: Sql, { appId, clusterId }: ClientWorld, iops: number): Promise<void> {
  await sql`
    insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops)
    values (${appId}, ${clusterId}, ${iops})
  `;
  await sql`select rate_limiter_internal.sync_reserves_at(null, ${clusterId})`;
}

describe.each(drivers)("through $name", ({ open }) => {
  /** A cluster of 120/s, capacity 240, with a greedy application and two that reserved 50/s. */
  async function makeCluster() {
    const database = await createDatabase();
    const greedy = await makeWorld(database);
    const steady = await sibling(database.sql, greedy);
    const dear = await sibling(database.sql, greedy);
    const time = await startVirtualTime(database);
    await addQuota(database, { clusterId: greedy.clusterId }, { iops: { limit: 120, burst: 240 } });
    await reserve(database.sql, steady, 50);
    await reserve(database.sql, dear, 50);
    // A new reserve is empty.
    for (let ms = 0; ms < 1_000; ms += 100) await time.advance(100);
    const asker = (world: ClientWorld, operation: string, perSecond: number): Asker => {
      return { caller: open(time, world), operation, perSecond };
    };
    return { time, asker, greedy, steady, dear };
  }

  test("beside a greedy application those that reserved get all that they ask for", {
    timeout: 240_000,
  }, async () => {
    const { time, asker, greedy, steady, dear } = await makeCluster();
    const [ofGreedy, ofSteady, ofDear] = await simulate(
      time,
      [asker(greedy, "head", 2_000), asker(steady, "head", 50), asker(dear, "write_large", 5)],
      10,
    );
    expect(ofSteady).toMatchObject({ asked: 500, admitted: 500, waited: 0 });
    expect(ofDear).toMatchObject({ asked: 50, admitted: 50, waited: 0 });
    expect(ofGreedy?.asked).toBe(20_000);
    expect((ofGreedy?.admitted ?? 0) + 500 + 50 * 10).toBeLessThanOrEqual(240 + 1_200);
  });

  test("unused reservations cost nothing", { timeout: 240_000 }, async () => {
    const { time, asker, greedy } = await makeCluster();
    const [outcome] = await simulate(time, [asker(greedy, "head", 2_000)], 10);
    // The headroom is 100. What is in hand at the end was charged as well.
    expect(outcome?.admitted).toBeGreaterThanOrEqual(140 + 0.98 * 1_200);
    expect(outcome?.admitted).toBeLessThanOrEqual(140 + 1.02 * 1_200);
  });
});
