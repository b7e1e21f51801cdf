import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import {
  ledgerGaps,
  makeApplication,
  makeCluster,
  moment,
  publish,
  type Quota,
  setSetting,
} from "../world.ts";

const database = await createDatabase();

/** What may be spent. */
interface Spendable {
  readonly tokens: number;
  readonly bytes: number;
}
type Answers = PromiseLike<readonly Spendable[]>;

async function leaseOf(sql: Sql, at: string, appId: string, size: number) {
  const [grant] = await sql<{ id: string | null; tokens: number; bytes: number }[]>`
    select lease_id as id, tokens::float8, bytes::float8
    from rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 3, ${size}, '10 s'
    )
  `;
  return grant?.id == null ? undefined : { ...grant, id: grant.id };
}

/** The ways to ask: for one or two operations of the size for each application. */
const calls = {
  consume(sql: Sql, at: string, appIds: string[], size: number): Answers {
    return sql<Spendable[]>`
      select d.cost::float8 as tokens, ${size}::float8 as bytes
      from unnest(${appIds}::uuid[]) as app_id
      cross join lateral rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(app_id), ${at}, app_id, 'head', ${size}
      ) as d
      where d.allowed
    `;
  },
  batch(sql: Sql, at: string, appIds: string[], size: number): Answers {
    return sql<Spendable[]>`
      select d.cost::float8 as tokens, ${size}::float8 as bytes
      from unnest(${appIds}::uuid[]) as app_id
      cross join lateral rate_limiter_internal.consume_batch_at(
        rate_limiter_internal.app_shard_key(app_id),
        ${at}, app_id, '{head,head}', array[${size}::bigint, ${size}::bigint]
      ) as d
      where d.allowed
    `;
  },
  together(sql: Sql, at: string, appIds: string[], size: number): Answers {
    return sql<Spendable[]>`
      select d.cost::float8 as tokens, ${size}::float8 as bytes
      from rate_limiter_internal.consume_many_at(
        rate_limiter_internal.first_operations(
          ${at}, ${appIds}::uuid[], array_fill('head'::text, array[${appIds.length}::int]),
          array_fill(${size}::bigint, array[${appIds.length}::int])
        ),
        ${at}, array_fill('head'::text, array[${appIds.length}::int])
      ) as d
      where d.allowed
    `;
  },
  lease(sql: Sql, at: string, appIds: string[], size: number): Answers {
    return sql<Spendable[]>`
      select l.tokens::float8, l.bytes::float8
      from unnest(${appIds}::uuid[]) as app_id
      cross join lateral rate_limiter_internal.lease_tokens_at(
        rate_limiter_internal.app_shard_key(app_id),
        ${at}, app_id, 3, ${size}, interval '10 seconds'
      ) as l
    `;
  },
  /** Spends one token and a byte of what it is granted, and gives the rest back. */
  async hold(sql: Sql, at: string, appIds: string[], size: number): Promise<Spendable[]> {
    const spent: Spendable[] = [];
    for (const appId of appIds) {
      const grant = await leaseOf(sql, at, appId, size);
      if (grant === undefined) continue;
      const part = { tokens: Math.min(grant.tokens, 1), bytes: Math.min(grant.bytes, 1) };
      await sql`
        select rate_limiter_internal.settle_lease_at(
          rate_limiter_internal.app_shard_key(${appId}),
          ${at}, ${appId}, ${grant.id}, ${part.tokens}, ${part.bytes}
        )
      `;
      spent.push(part);
    }
    return spent;
  },
  /** Hands one in for the next. */
  async renew(sql: Sql, at: string, appIds: string[], size: number): Promise<Spendable[]> {
    const spent: Spendable[] = [];
    for (const appId of appIds) {
      const grant = await leaseOf(sql, at, appId, size);
      if (grant === undefined) continue;
      const part = { tokens: Math.min(grant.tokens, 1), bytes: Math.min(grant.bytes, 1) };
      const [next] = await sql`
        select tokens::float8, bytes::float8 from rate_limiter_internal.renew_lease_at(
          rate_limiter_internal.app_shard_key(${appId}),
          ${at}, ${appId}, ${grant.id}, ${part.tokens}, ${part.bytes}, 2, ${size}, '10 s'
        )
      `;
      spent.push(part, { tokens: next?.tokens, bytes: next?.bytes });
    }
    return spent;
  },
  /** Used without having asked: nothing is admitted, and layer 1 is charged all the same. */
  async owe(sql: Sql, at: string, appIds: string[], size: number): Promise<Spendable[]> {
    for (const appId of appIds) {
      await sql`
        select rate_limiter_internal.charge_owed_at(
          rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${size % 40}, ${size}
        )
      `;
    }
    return [];
  },
  /** Smaller in the end than it was said to be: one that is larger may have to be forgiven. */
  async upload(sql: Sql, at: string, appIds: string[], size: number): Promise<Spendable[]> {
    const spent: Spendable[] = [];
    const actual = Math.floor(size / 2);
    for (const appId of appIds) {
      const reference = randomUUID();
      const [decision] = await sql`
        select d.allowed from rate_limiter_internal.consume_at(
          rate_limiter_internal.app_shard_key(${appId}),
          ${at}, ${appId}, 'read_small', ${size}, ${reference}
        ) as d
      `;
      if (!decision?.allowed) continue;
      const [settled] = await sql`
        select s.cost::float8 as tokens from rate_limiter_internal.settle_at(
          rate_limiter_internal.app_shard_key(${appId}),
          ${at}, ${appId}, ${reference}, ${actual}
        ) as s
      `;
      spent.push({ tokens: settled?.tokens, bytes: actual });
    }
    return spent;
  },
};

const iops = fc.record({
  iops: fc.integer({ min: 1, max: 60 }),
  burst: fc.integer({ min: 60, max: 120 }),
  method: fc.constantFrom<NonNullable<Quota["method"]>>(
    "token_bucket",
    "token_bucket",
    "leaky_bucket",
    "fixed_window",
  ),
});
const bytes = fc.record({ bytes: fc.integer({ min: 100, max: 9000 }) });
const quota: fc.Arbitrary<Quota> = fc.oneof(
  fc.constant({}),
  iops,
  bytes,
  fc.tuple(iops, bytes).map(([one, two]) => ({ ...one, ...two })),
);
/** So fast that stripes of it are worth while, and nearly spent before anybody asks. */
const fast = fc
  .record({
    rate: fc.integer({ min: 700, max: 7000 }),
    left: fc.integer({ min: 0, max: 60 }),
    kinds: fc.constantFrom<readonly string[]>(["iops"], ["bytes"], ["iops", "bytes"]),
  })
  .map(({ rate, left, kinds }) => ({
    left,
    ...(kinds.includes("iops") && { iops: rate, burst: rate }),
    ...(kinds.includes("bytes") && { bytes: rate * 100 }),
  }));
const step = fc.record({
  waitMs: fc.oneof(fc.constant(0), fc.nat(30), fc.nat(1100)),
  call: fc.constantFrom<keyof typeof calls>(
    ...([
      ...["consume", "consume", "batch", "together", "lease", "upload", "hold", "renew", "owe"],
    ] as const),
  ),
  apps: fc.uniqueArray(fc.nat(2), { minLength: 1, maxLength: 3 }),
  size: fc.oneof(fc.constant(0), fc.nat(800)),
});
const scenario = fc.record({
  allotmentMs: fc.constantFrom(0, 20, 100, 1000),
  shared: fc.oneof(quota, fast) as fc.Arbitrary<Quota & { left?: number }>,
  own: fc.array(quota, { minLength: 3, maxLength: 3 }),
  /** The share of layer 1's refill that each of the first two reserves; 0 for none. */
  reserved: fc.constantFrom<readonly number[]>([0, 0], [0.3, 0], [0.2, 0.25]),
  steps: fc.array(step, { minLength: 3, maxLength: 25 }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer S> ? S : never;

async function publishAny(sql: Sql, owner: Parameters<typeof publish>[1], limits: Quota) {
  if (Object.keys(limits).length > 0) await publish(sql, owner, limits);
}

/** All but so many tokens, and a hundred times as many bytes, are taken by hand. */
async function spend(sql: Sql, clusterId: string, { iops, bytes, left }: Scenario["shared"]) {
  if (left === undefined) return;
  const take = (bucketType: string, tokens: number) => sql`
    select rate_limiter_internal.adjust_tokens_at(
      ${moment(0)}, ${clusterId}, ${bucketType}, ${-tokens}, 'test'
    )
  `;
  if (iops !== undefined) await take("iops_l1", iops - left);
  if (bytes !== undefined) await take("bandwidth_l1", bytes - left * 100);
}

async function makeWorld(sql: Sql, { allotmentMs, shared, own, reserved }: Scenario) {
  await setSetting(sql, "layer1_prefetch_ms", allotmentMs);
  const clusterId = await makeCluster(sql);
  await publishAny(sql, { clusterId }, shared);
  await spend(sql, clusterId, shared);
  const appIds: string[] = [];
  for (const limits of own) {
    const appId = await makeApplication(sql, { clusterId });
    await publishAny(sql, { appId }, limits);
    appIds.push(appId);
  }
  await reserve(sql, clusterId, appIds, shared, reserved);
  return { clusterId, appIds };
}

async function reserve(
  sql: Sql,
  clusterId: string,
  appIds: string[],
  { iops = 0, bytes = 0, method = "token_bucket" }: Quota,
  shares: readonly number[],
) {
  if (method !== "token_bucket") return;
  for (const [index, share] of shares.entries()) {
    const [tokens, size] = [Math.floor(iops * share), Math.floor(bytes * share)];
    if (tokens === 0 && size === 0) continue;
    await sql`
      insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops, reserved_bps)
      values (
        ${appIds[index] ?? ""}, ${clusterId}, nullif(${tokens}, 0), nullif(${size}, 0)
      )
    `;
  }
  await sql`select rate_limiter_internal.sync_reserves_at(${moment(0)}, ${clusterId})`;
}

/**
 * What section 7 of the semantics says of a cluster's buckets: what is reserved and not yet used is
 * there, up to the debt limit, and no reserve holds less than nothing or more than its capacity.
 */
async function expectReservesCovered(sql: Sql, clusterId: string) {
  const rows = await sql`
    select b.bucket_type, b.current_tokens, r.tokens, rate_limiter_internal.debt_limit(b) as debt
    from rate_limiter.token_buckets as b
    cross join lateral (
      select
        coalesce(sum(r.current_tokens), 0) as tokens,
        bool_or(r.current_tokens not between 0 and coalesce(r.capacity, r.last_capacity)) as is_odd
      from rate_limiter.token_buckets as r
      where r.reserve_cluster_id = b.owner_id
        and r.bucket_type = case b.bucket_type
          when 'iops_l1' then 'iops_reserve' else 'bandwidth_reserve'
        end::rate_limiter.bucket_type
    ) as r
    where b.owner_id = ${clusterId}
      and (b.current_tokens - r.tokens < -rate_limiter_internal.debt_limit(b) or r.is_odd)
  `;
  expect([...rows]).toEqual([]);
}

async function takenFrom(sql: Sql, clusterId: string, bucketType: string): Promise<number> {
  const [row] = await sql`
    select -coalesce(sum(tokens_change), 0)::float8 as taken
    from rate_limiter.token_transactions
    where owner_id = ${clusterId}
      and bucket_type = ${bucketType}
      and transaction_type in ('consume', 'prefetch', 'refund', 'lease', 'settle')
  `;
  return row?.taken;
}

/** Never, after any step, is more admitted than layer 1 had given by then. Counts admissions. */
async function run(sql: Sql, world: Scenario): Promise<number> {
  const { clusterId, appIds } = await makeWorld(sql, world);
  const admitted = { count: 0, tokens: 0, bytes: 0 };
  let ms = 0;
  for (const { waitMs, call, apps, size } of world.steps) {
    ms += waitMs;
    const asking = apps.map((i) => appIds[i] as string);
    for (const spendable of await calls[call](sql, moment(ms / 1000), asking, size)) {
      admitted.count += 1;
      admitted.tokens += spendable.tokens;
      admitted.bytes += spendable.bytes;
    }
    await expectReservesCovered(sql, clusterId);
    // Sums of doubles: their last digits are noise.
    const { tokens, bytes } = { tokens: admitted.tokens - 1e-6, bytes: admitted.bytes - 1e-6 };
    if (world.shared.iops !== undefined) {
      expect(tokens).toBeLessThanOrEqual(await takenFrom(sql, clusterId, "iops_l1"));
    }
    if (world.shared.bytes !== undefined) {
      expect(bytes).toBeLessThanOrEqual(await takenFrom(sql, clusterId, "bandwidth_l1"));
    }
  }
  expect(await ledgerGaps(sql)).toEqual([]);
  return admitted.count;
}

test("no caller is admitted more than layer 1 gave, whatever it asks", {
  timeout: 120_000,
}, async () => {
  let admissions = 0;
  const holds = async (world: Scenario) => {
    admissions += await database.withTransaction("rate_limiter_owner", {}, (sql) =>
      run(sql as unknown as Sql, world),
    );
  };
  await fc.assert(fc.asyncProperty(scenario, holds), {
    numRuns: process.env.QOS_TEST_FULL ? 150 : 60,
  });
  expect(admissions).toBeGreaterThan(200);
});
