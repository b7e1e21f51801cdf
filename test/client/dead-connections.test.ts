import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import {
  createBatchingClient,
  createLimiter,
  type LimiterOptions,
} from "../../src/client/index.ts";
import { createDatabase, eventually } from "../harness/index.ts";
import { breakableLink } from "./breakable-link.ts";
import { silent } from "./silent.ts";
import { addQuota, type ClientWorld, makeWorld } from "./world.ts";

const database = await createDatabase();
let world: ClientWorld;

beforeEach(async () => {
  world = await makeWorld(database);
  await addQuota(database, world, { iops: { limit: 1_000, burst: 100_000 } });
});

async function linkOfThisTest() {
  const link = await breakableLink(database.urlAs("rate_limiter_app"));
  onTestFinished(() => link.close());
  return link;
}

function limiterFor(options: Partial<LimiterOptions>) {
  const limiter = createLimiter({
    connection: database.urlAs("rate_limiter_app"),
    application: world.appId,
    outage: { policy: "closed" },
    timeoutMs: 1_000,
    logger: silent,
    ...options,
  });
  onTestFinished(() => limiter.close());
  return limiter;
}

/** Whether it admits by the database, at once and not after a driver's own patience. */
async function admits(ask: () => Promise<{ allowed: boolean; reason: string | null }>) {
  await vi.waitFor(async () => expect(await ask()).toMatchObject({ allowed: true, reason: null }), {
    timeout: 20_000,
    interval: 50,
  });
}

describe("a path that swallows packets and never resets", () => {
  test("leaves no dead connection in the limiter's pool", async () => {
    const link = await linkOfThisTest();
    const limiter = limiterFor({ connection: link.url });
    const ask = (reference: number) => limiter.checkAsync("head", 0, { reference: `${reference}` });
    await Promise.all([1, 2, 3, 4].map(ask));
    link.forget();
    let reference = 10;
    await admits(() => {
      reference += 1;
      return ask(reference);
    });
  });

  test("leaves no dead connection in the batching client's pool", async () => {
    const link = await linkOfThisTest();
    const client = createBatchingClient({
      connection: link.url,
      timeoutMs: 1_000,
      callsAtOnce: 4,
      logger: silent,
    });
    onTestFinished(() => client.close());
    const ask = () => client.decide(world.appId, "head");
    await Promise.all([ask(), ask(), ask(), ask()]);
    link.forget();
    await admits(ask);
  });

  test("leaves no dead connection in a caller's pool of pg", async () => {
    const link = await linkOfThisTest();
    const pool = new pg.Pool({ connectionString: link.url, max: 2 });
    pool.on("error", () => {});
    onTestFinished(() => pool.end());
    const client = createBatchingClient({ connection: pool, timeoutMs: 1_000, logger: silent });
    onTestFinished(() => client.close());
    const ask = () => client.decide(world.appId, "head");
    await Promise.all([ask(), ask()]);
    link.forget();
    await admits(ask);
  });

  test("is noticed on the listening connection, and what was missed is read", async () => {
    const link = await linkOfThisTest();
    const limiter = limiterFor({
      connection: link.url,
      apiKey: world.apiKey,
      application: undefined,
    });
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
    expect((await limiter.checkAsync("head")).allowed).toBe(true);
    link.forget();
    await database.sql`
      update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
      where app_id = ${world.appId}
    `;
    await eventually(async () => {
      await limiter.checkAsync("head").catch(() => {});
      expect(limiter.status().own?.state).toBe("rejected");
    });
    await eventually(() => expect(limiter.status().changes).toBe("listening"));
  });
});

test("an outage ends with a charge, and not with a read", async () => {
  const url = database.urlAs("rate_limiter_app");
  const limiter = limiterFor({ connection: url });
  await limiter.checkAsync("head", 0, { reference: "before" });
  const login = decodeURIComponent(new URL(url).username);
  const readOnly = (on: string) =>
    database.sql.unsafe(`
      alter role "${login}" in database "${database.name}" set default_transaction_read_only = ${on}
    `);
  onTestFinished(() => readOnly("off").then(() => {}));
  await readOnly("on");
  await database.sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'storage-qos client' and datname = ${database.name}
  `;
  await eventually(async () => {
    const decision = await limiter.checkAsync("head", 0, { reference: crypto.randomUUID() });
    expect(decision).toMatchObject({ allowed: false, reason: "store_unavailable" });
  });
  await limiter.application({ application: world.appId }).refresh();
  await sleep(300);
  await limiter.application({ application: world.appId }).refresh();
  expect(limiter.status().isDown).toBe(true);
  await readOnly("off");
  await database.sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name = 'storage-qos client' and datname = ${database.name}
  `;
  await eventually(async () => {
    const decision = await limiter.checkAsync("head", 0, { reference: crypto.randomUUID() });
    expect(decision).toMatchObject({ allowed: true, reason: null });
  });
  expect(limiter.status()).toMatchObject({ isDown: false, outages: 1 });
});

test("a locked bucket concerns its own application, and is not an outage", async () => {
  const other = await makeWorld(database);
  await addQuota(database, other, { iops: { limit: 1_000 } });
  const limiter = limiterFor({ outage: { policy: "open" } });
  const reserved = await database.sql.reserve();
  await reserved`begin`;
  await reserved`select from rate_limiter.token_buckets where owner_id = ${world.appId} for update`;
  const locked = limiter.checkAsync("head", 0, { reference: "locked" });
  const free = limiter.application({ application: other.appId });
  expect(await free.checkAsync("head")).toMatchObject({ allowed: true, reason: null });
  expect(await locked).toMatchObject({ allowed: false, reason: "store_unavailable" });
  await reserved`rollback`;
  reserved.release();
  expect(limiter.status()).toMatchObject({ isDown: false, outages: 0, own: { uncharged: 0 } });
});
