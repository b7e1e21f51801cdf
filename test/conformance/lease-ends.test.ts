import fc from "fast-check";
import { expect, test } from "vitest";
import { addQuota, type ClientWorld, charged, makeWorld } from "../client/world.ts";
import { createDatabase, type TestDatabase } from "../harness/index.ts";
import { missing, startGateway } from "./virtual-drivers.ts";
import { startVirtualTime, type VirtualTime } from "./virtual-time.ts";

interface Upload {
  readonly fromMs: number;
  readonly lastsMs: number;
  readonly worker: number;
}

const size = 1_000_000;
const uploads = 60;
/** QOS_LEASE_MS. */
const longestLeaseSeconds = 10;
const [begunWithinMs, longestMs, restMs] = [4_000, 3_000, 2_000];

/** Most are short, as requests are; some outlast what pays for them. */
const scheduleOf = (seed: number): readonly Upload[] =>
  fc.sample(
    fc.record({
      fromMs: fc.nat(begunWithinMs),
      lastsMs: fc.oneof(fc.nat(400), fc.nat(longestMs)),
      worker: fc.constantFrom(1, 2),
    }),
    { numRuns: uploads, seed },
  );

/** Buckets that refill by one a second. */
async function addBuckets(database: TestDatabase, world: ClientWorld): Promise<void> {
  await addQuota(database, world, { iops: { limit: 1, burst: 2_000 }, bytesPerSecond: 1e9 });
  await database.sql`
    update rate_limiter.bandwidth_quotas set refill_rate_bps = 1, bandwidth_limit_bps = 1
    where config_id in (
      select config_id from rate_limiter.quota_configs where app_id = ${world.appId}
    )
  `;
}

/** Lets each begin in its time and be given up in its time; answers how many were admitted. */
async function upload(
  time: VirtualTime,
  gateway: ReturnType<typeof startGateway>,
  owners: readonly { readonly apiKey: string; readonly schedule: readonly Upload[] }[],
): Promise<number> {
  const start = time.now();
  const due = new Map<number, (() => void)[]>();
  const at = (ms: number, work: () => void) => due.set(ms, [...(due.get(ms) ?? []), work]);
  let admitted = 0;
  async function begin(apiKey: string, { lastsMs, worker }: Upload) {
    const { id, verdict } = gateway.begin(apiKey, "write_large", size, worker);
    if (!(await verdict).allowed) return;
    admitted += 1;
    at(time.now() + lastsMs + 1, () => gateway.giveUp(id));
  }
  for (const { apiKey, schedule } of owners)
    for (const each of schedule) at(start + each.fromMs, () => void begin(apiKey, each));
  while (time.now() < start + begunWithinMs + longestMs + restMs) {
    for (const work of due.get(time.now()) ?? []) work();
    await time.advance(1);
  }
  return admitted;
}

test.skipIf(missing !== undefined)(
  "uploads that are given up are charged nothing, whatever leases end meanwhile",
  async () => {
    const database = await createDatabase();
    const owners: (ClientWorld & { readonly schedule: readonly Upload[] })[] = [];
    for (const seed of [1, 2, 3])
      owners.push({ ...(await makeWorld(database)), schedule: scheduleOf(seed) });
    const time = await startVirtualTime(database);
    for (const owner of owners) await addBuckets(database, owner);
    const gateway = startGateway(time, { workers: 2, callTakesMs: 3 });
    expect(await upload(time, gateway, owners)).toBe(owners.length * uploads);
    for (const owner of owners) {
      const { tokens, bytes } = await charged(database, owner);
      // What comes back finds buckets that have refilled meanwhile.
      expect(Number(bytes)).toBeLessThanOrEqual(time.now() / 1_000 + 1);
      expect(Number(tokens)).toBeLessThanOrEqual(time.now() / 1_000 + 1);
    }
  },
);

test.skipIf(missing !== undefined)(
  "a lease whose grant nothing answered is asked for again, and refuses nothing once it is over",
  async () => {
    const database = await createDatabase();
    const world = await makeWorld(database);
    const time = await startVirtualTime(database);
    await addQuota(database, world, { iops: { limit: 1_000 } });
    const gateway = startGateway(time, { callTakesMs: 30 });
    const problems: (string | null)[] = [];

    async function pass(seconds: number, isAsking: boolean) {
      const end = time.now() + seconds * 1_000;
      while (time.now() < end) {
        if (isAsking)
          void gateway.ask(world.apiKey, "head").then(({ problem }) => problems.push(problem));
        await time.advance(10);
      }
    }

    // Its config is known then, and what was leased goes back.
    await pass(0.1, true);
    await pass(3, false);
    gateway.setLink("loses answers");
    await pass(0.1, true);
    gateway.setLink("cut");
    await pass(longestLeaseSeconds + 1, true);
    gateway.setLink("whole");
    await pass(6, true);
    expect(problems.length).toBeGreaterThan(1_500);
    expect(problems.filter((problem) => problem !== null)).toEqual([]);
    const [leases] = await database.sql`
      select count(*)::int as expired from rate_limiter.token_leases
      where app_id = ${world.appId} and expires_at < clock_timestamp()
        and (settled_at is null or settled_at >= expires_at)
    `;
    expect(leases?.expired).toBe(1);
  },
);

test.skipIf(missing !== undefined)(
  "the leases of a thousand applications go back in three exchanges when a gateway ends",
  async () => {
    const database = await createDatabase();
    const { clusterId, tenantId } = await makeWorld(database);
    const keys = await database.sql<{ apiKey: string }[]>`
      with made as (
        insert into rate_limiter.applications (tenant_id, cluster_id, name)
        select ${tenantId}, ${clusterId}, 'app ' || n from generate_series(1, 1000) as n
        returning app_id
      )
      select k.api_key as "apiKey"
      from made as m cross join lateral rate_limiter_private.issue_api_key(m.app_id) as k
    `;
    const time = await startVirtualTime(database);
    const gateway = startGateway(time);
    for (const { apiKey } of keys) void gateway.ask(apiKey, "head");
    // Before the first are idle, and go back by themselves.
    for (let ms = 0; ms < 1_400; ms += 10) await time.advance(10);
    const open = async () => {
      const [row] = await database.sql`
        select count(*)::int as open from rate_limiter.token_leases where settled_at is null
      `;
      return row?.open;
    };
    expect(await open()).toBe(1_000);
    const before = gateway.calls.get("exchange_leases") ?? 0;
    gateway.quit();
    await time.advance(10);
    expect(await open()).toBe(0);
    // Four more say what was asked, of 250 applications each.
    expect((gateway.calls.get("exchange_leases") ?? 0) - before).toBe(3 + 4);
  },
);

test.skipIf(missing !== undefined)(
  "a lease is not spent after its end, whatever is left of it",
  async () => {
    const database = await createDatabase();
    const world = await makeWorld(database);
    const time = await startVirtualTime(database);
    await addQuota(database, world, { iops: { limit: 1, burst: 5_000 } });
    const gateway = startGateway(time);
    const told: { readonly at: number; readonly reason: string | null }[] = [];
    async function ask(seconds: number, everyMs: number) {
      for (
        const end = time.now() + seconds * 1_000;
        time.now() < end;
        await time.advance(everyMs)
      ) {
        const at = time.now();
        void gateway.ask(world.apiKey, "head").then(({ reason }) => told.push({ at, reason }));
      }
    }
    await ask(2, 5);
    gateway.setLink("cut");
    const [held] = await database.sql`
      select
        sum(tokens)::float8 as tokens,
        (extract(epoch from max(expires_at) - clock_timestamp()) * 1000)::float8 as "lastsMs"
      from rate_limiter.token_leases
      where app_id = ${world.appId} and settled_at is null
    `;
    expect(held?.tokens).toBeGreaterThan(100);
    // Stopped meanwhile, it neither renewed the lease nor gave it back.
    time.jump(Math.ceil(held?.lastsMs) + 1);
    gateway.wasStopped();
    const before = told.length;
    await ask(0.1, 10);
    expect(told.slice(before).map(({ reason }) => reason)).not.toContain(null);
    expect(told.length).toBe(before + 10);
  },
);
