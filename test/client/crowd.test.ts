import { beforeEach, expect, onTestFinished, test } from "vitest";
import { ClosedError, createLimiter } from "../../src/client/index.ts";
import { createDatabase } from "../harness/index.ts";
import { CountingDatabase } from "./counting-database.ts";
import { silent } from "./silent.ts";
import { type ClientWorld, makeWorld } from "./world.ts";

const database = await createDatabase();
let world: ClientWorld;

beforeEach(async () => {
  world = await makeWorld(database);
});

/** Applications with a quota each, all in one cluster. */
async function crowdOf(count: number): Promise<string[]> {
  const rows = await database.sql<{ app_id: string }[]>`
    with made as (
      insert into rate_limiter.applications (tenant_id, cluster_id, name)
      select ${world.tenantId}, ${world.clusterId}, 'one of a crowd ' || n
      from generate_series(1, ${count}::int) as n
      returning app_id
    )
    select m.app_id from made as m
  `;
  return rows.map(({ app_id }) => app_id);
}

test("10,000 applications asking at once go a hundred to a call, a few calls at a time", async () => {
  const database = new CountingDatabase();
  const limiter = createLimiter({
    connection: database as never,
    outage: { policy: "closed" },
    // None goes back because this machine was busy with the others.
    idleMs: 3_600_000,
    pollMs: 3_600_000,
    timeoutMs: 60_000,
    logger: silent,
  });
  const ids = Array.from({ length: 10_000 }, () => crypto.randomUUID());
  const decisions = await Promise.all(
    ids.map((application) => limiter.application({ application }).checkAsync("head")),
  );
  expect(decisions.every(({ allowed }) => allowed)).toBe(true);
  expect(database.open).toBe(10_000);
  // A hundred calls for configs, as many for leases, and a few of single ones at first.
  expect(database.calls).toBeLessThan(250);
  await limiter.close();
  expect(database.calls).toBeLessThan(600);
  expect(database.mostInFlight).toBeLessThanOrEqual(6);
  expect(limiter.status()).toMatchObject({ outages: 0, storeFailures: 0 });
});

test("a crowd of applications asking at once is not an outage, nor is closing meanwhile", async () => {
  const ids = await crowdOf(300);
  const limiter = createLimiter({
    connection: database.urlAs("rate_limiter_app"),
    outage: { policy: "closed" },
    idleMs: 60_000,
    // One call alone takes a good part of this; the queue takes many times as long.
    timeoutMs: 20_000,
  });
  onTestFinished(() => limiter.close());
  const ask = (application: string) => limiter.application({ application }).checkAsync("head");
  const decisions = await Promise.all(ids.map(ask));
  expect(decisions.filter(({ allowed }) => !allowed)).toEqual([]);
  expect(limiter.status()).toMatchObject({ isDown: false, outages: 0 });
  expect(limiter.status().storeCalls).toBeLessThan(300);
  await limiter.close();
  expect(limiter.status()).toMatchObject({ isDown: false, storeFailures: 0 });
});

test("calls that close() leaves without a connection are not an outage", async () => {
  const lines: string[] = [];
  const warn = (_: unknown, line = "") => lines.push(line);
  const limiter = createLimiter({
    connection: database.urlAs("rate_limiter_app"),
    logger: { ...silent, warn },
  });
  const ids = await crowdOf(50);
  const asked = ids.map((application) =>
    limiter.application({ application }).checkAsync("head", 0, { reference: application }),
  );
  const closed = limiter.close();
  const decisions = await Promise.allSettled(asked);
  await closed;
  for (const decision of decisions) {
    if (decision.status === "rejected") expect(decision.reason).toBeInstanceOf(ClosedError);
  }
  expect(lines).toEqual([]);
  expect(limiter.status()).toMatchObject({ isDown: false, outages: 0 });
});

test("a change of an operation's default costs reaches all without a call for each", async () => {
  const ids = await crowdOf(50);
  const limiter = createLimiter({ connection: database.urlAs("rate_limiter_app") });
  onTestFinished(() => limiter.close());
  const limiters = ids.map((application) => limiter.application({ application }));
  await expect.poll(() => limiter.status().changes, { timeout: 30_000 }).toBe("listening");
  await Promise.all(limiters.map((one) => one.checkAsync("list")));
  const calls = limiter.status().storeCalls;
  await database.sql`
    update rate_limiter.operation_types set is_active = false where name = 'list'
  `;
  onTestFinished(async () => {
    await database.sql`
      update rate_limiter.operation_types set is_active = true where name = 'list'
    `;
  });
  const isInactive = (one: (typeof limiters)[number]) => {
    try {
      one.check("list");
      return false;
    } catch {
      return true;
    }
  };
  await expect.poll(() => limiters.every(isInactive), { timeout: 30_000 }).toBe(true);
  expect(limiter.status().storeCalls - calls).toBeLessThan(ids.length * 2);
});
