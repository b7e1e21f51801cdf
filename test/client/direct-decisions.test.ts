import { beforeEach, expect, onTestFinished, test } from "vitest";
import { createLimiter } from "../../src/client/index.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { silent } from "./silent.ts";
import { addQuota, type ClientWorld, makeWorld } from "./world.ts";

const database = await createDatabase();
let world: ClientWorld;

beforeEach(async () => {
  world = await makeWorld(database);
  await addQuota(database, world, { iops: { limit: 100, burst: 1_000 } });
});

async function openLeases(): Promise<number> {
  const [row] = await database.sql<[{ count: number }]>`
    select count(*)::int as count from rate_limiter.token_leases
    where app_id = ${world.appId} and settled_at is null
  `;
  return row.count;
}

/** It hears no notifications, so it polls. */
function pollingLimiter() {
  const pool = database.as("rate_limiter_app");
  const query = async ({ text, values }: { text: string; values: unknown[] }) => ({
    rows: await pool.unsafe(text, values as never[]),
  });
  const limiter = createLimiter({
    connection: { query } as never,
    application: world.appId,
    idleMs: 60_000,
    pollMs: 100,
    logger: silent,
  });
  onTestFinished(() => limiter.close());
  return limiter;
}

test.each([
  ["a leaky bucket", "cluster", { limit: 100, method: "leaky_bucket" }, "enforce"],
  ["a shadow quota", "application", { limit: 100 }, "shadow"],
] as const)(
  "leases go back when polling finds %s, and are taken again when it is gone",
  async (_, kind, iops, mode) => {
    const limiter = pollingLimiter();
    await limiter.checkAsync("head");
    expect(await openLeases()).toBeGreaterThan(0);
    const owner = kind === "cluster" ? { clusterId: world.clusterId } : { appId: world.appId };
    const quota = await addQuota(database, owner, { iops, mode });
    await eventually(async () => {
      expect(limiter.status().own?.decidedByDatabase).toBe(true);
      expect(await openLeases()).toBe(0);
    });
    expect((await limiter.checkAsync("head")).allowed).toBe(true);
    expect(await openLeases()).toBe(0);
    await database.sql`
      update rate_limiter.quota_configs set valid_to = clock_timestamp()
      where config_id = ${quota}
    `;
    await eventually(async () => {
      await limiter.checkAsync("head");
      expect(limiter.status().own?.lease.tokens).toBeGreaterThan(0);
    });
  },
);
