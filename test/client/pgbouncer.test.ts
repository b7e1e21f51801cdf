import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { type PgBouncer, pgbouncerProgram, startPgBouncer } from "../../src/bench/pgbouncer.ts";
import { createBatchingClient, createLimiter } from "../../src/client/index.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { unlessRequired } from "../harness/required.ts";
import { silent } from "./silent.ts";
import { addQuota, type ClientWorld, charged, makeWorld } from "./world.ts";

/** Which take turns. */
const twoSessions = { default_pool_size: 2, reserve_pool_size: 0, server_round_robin: 1 };
const isMissing = pgbouncerProgram === undefined;
unlessRequired(
  isMissing ? "pgbouncer is not installed (.ci/packages lists what to install)" : undefined,
);

describe.skipIf(isMissing)("PgBouncer in transaction mode", async () => {
  const database = await createDatabase();
  let pooler: PgBouncer;
  let world: ClientWorld;

  beforeAll(async () => {
    pooler = await startPgBouncer(database.urlAs("rate_limiter_app"), twoSessions);
  });
  afterAll(() => pooler?.stop());

  beforeEach(async () => {
    world = await makeWorld(database);
    await addQuota(database, world, { iops: { limit: 1, burst: 1_000 } });
  });

  /** More callers than the pooler has sessions, so that they take turns on each. */
  const askedTogether = <T>(ask: (n: number) => Promise<T>) =>
    Promise.all(Array.from({ length: 40 }, (_, n) => ask(n)));

  test("a limiter decides, charges and returns its leases, and polls for changes", async () => {
    const limiter = createLimiter({
      connection: pooler.url,
      apiKey: world.apiKey,
      pollMs: 100,
      outage: { policy: "closed" },
      logger: silent,
    });
    onTestFinished(() => limiter.close());
    const direct = await askedTogether((n) => limiter.checkAsync("head", 0, { reference: `${n}` }));
    const leased = await askedTogether(() => limiter.checkAsync("head"));
    for (const decision of [...direct, ...leased]) expect(decision.allowed).toBe(true);
    expect(limiter.status()).toMatchObject({ changes: "polling", outages: 0, storeFailures: 0 });
    await database.sql`
      update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
      where app_id = ${world.appId}
    `;
    await eventually(() => expect(limiter.status().own?.state).toBe("rejected"));
    await limiter.close();
    expect(await charged(database, world)).toMatchObject({ tokens: "80.000000" });
  });

  test.each([
    ["its own connections", () => ({ connection: pooler.url, close: async () => {} })],
    [
      "a pool of pg",
      () => {
        const pool = new pg.Pool({ connectionString: pooler.url, max: 8 });
        return { connection: pool, close: () => pool.end() };
      },
    ],
  ])("a batching client decides with %s", async (_, open) => {
    const { connection, close } = open();
    onTestFinished(close);
    const client = createBatchingClient({ connection, callsAtOnce: 4, logger: silent });
    onTestFinished(() => client.close());
    const decisions = await askedTogether((n) =>
      client.decide(world.appId, "head", 0, n % 2 === 0 ? { reference: `${n}` } : {}),
    );
    for (const decision of decisions) expect(decision.allowed).toBe(true);
    expect(await charged(database, world)).toMatchObject({ tokens: "40.000000" });
  });
});
