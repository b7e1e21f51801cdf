import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Sql } from "../../src/postgres/connect.ts";
import { createDatabase } from "../harness/index.ts";
import {
  ledgerGaps,
  makeApplication,
  makeCluster,
  moment,
  publish,
  type Quota,
  setSetting,
} from "./world.ts";

const database = await createDatabase();

/** What may be spent. */
interface Spendable {
  readonly tokens: number;
  readonly bytes: number;
}
type Answers = PromiseLike<readonly Spendable[]>;

/** The ways to ask: for one or two operations of the size for each application. */
const calls = {
  consume(sql: Sql, at: string, appIds: string[], size: number): Answers {
    return sql<Spendable[]>`
      select d.cost::float8 as tokens, ${size}::float8 as bytes
      from unnest(${appIds}::uuid[]) as app_id
      cross join lateral rate_limiter_internal.consume_at(${at}, app_id, 'head', ${size}) as d
      where d.allowed
    `;
  },
  batch(sql: Sql, at: string, appIds: string[], size: number): Answers {
    return sql<Spendable[]>`
      select d.cost::float8 as tokens, ${size}::float8 as bytes
      from unnest(${appIds}::uuid[]) as app_id
      cross join lateral rate_limiter_internal.consume_batch_at(
        ${at}, app_id, '{head,head}', array[${size}::bigint, ${size}::bigint]
      ) as d
      where d.allowed
    `;
  },
  together(sql: Sql, at: string, appIds: string[], size: number): Answers {
    return sql<Spendable[]>`
      select d.cost::float8 as tokens, ${size}::float8 as bytes
      from rate_limiter_internal.consume_together_at(
        ${at}, ${appIds}::uuid[], array_fill('head'::text, array[${appIds.length}::int]),
        array_fill(${size}::bigint, array[${appIds.length}::int])
      ) as d
      where d.allowed
    `;
  },
  lease(sql: Sql, at: string, appIds: string[], size: number): Answers {
    return sql<Spendable[]>`
      select l.tokens::float8, l.bytes::float8
      from unnest(${appIds}::uuid[]) as app_id
      cross join lateral rate_limiter_internal.lease_tokens_at(
        ${at}, app_id, 3, ${size}, interval '10 seconds'
      ) as l
    `;
  },
  /** Smaller in the end than it was said to be: one that is larger may have to be forgiven. */
  async upload(sql: Sql, at: string, appIds: string[], size: number): Promise<Spendable[]> {
    const spent: Spendable[] = [];
    const actual = Math.floor(size / 2);
    for (const appId of appIds) {
      const reference = randomUUID();
      const [decision] = await sql`
        select d.allowed from rate_limiter_internal.consume_at(
          ${at}, ${appId}, 'read_small', ${size}, ${reference}
        ) as d
      `;
      if (!decision?.allowed) continue;
      const [settled] = await sql`
        select s.cost::float8 as tokens from rate_limiter_internal.settle_at(
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
    ...(["consume", "consume", "batch", "together", "lease", "upload"] as const),
  ),
  apps: fc.uniqueArray(fc.nat(2), { minLength: 1, maxLength: 3 }),
  size: fc.oneof(fc.constant(0), fc.nat(800)),
});
const scenario = fc.record({
  allotmentMs: fc.constantFrom(0, 20, 100, 1000),
  shared: fc.oneof(quota, fast) as fc.Arbitrary<Quota & { left?: number }>,
  own: fc.array(quota, { minLength: 3, maxLength: 3 }),
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

async function makeWorld(sql: Sql, { allotmentMs, shared, own }: Scenario) {
  await setSetting(sql, "layer_1_allotment_ms", allotmentMs);
  const clusterId = await makeCluster(sql);
  await publishAny(sql, { clusterId }, shared);
  await spend(sql, clusterId, shared);
  const appIds: string[] = [];
  for (const limits of own) {
    const appId = await makeApplication(sql, { clusterId });
    await publishAny(sql, { appId }, limits);
    appIds.push(appId);
  }
  return { clusterId, appIds };
}

async function takenFrom(sql: Sql, clusterId: string, bucketType: string): Promise<number> {
  const [row] = await sql`
    select -coalesce(sum(tokens_change), 0)::float8 as taken
    from rate_limiter.token_transactions
    where owner_id = ${clusterId}
      and bucket_type = ${bucketType}
      and transaction_type in ('consume', 'allot', 'refund', 'lease', 'settle')
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

test("whoever asks, and however: no more is admitted than layer 1 gave", {
  timeout: 120_000,
}, async () => {
  let admissions = 0;
  const holds = async (world: Scenario) => {
    admissions += await database.withTransaction("rate_limiter_owner", {}, (sql) =>
      run(sql as unknown as Sql, world),
    );
  };
  await fc.assert(fc.asyncProperty(scenario, holds), { numRuns: 150 });
  expect(admissions).toBeGreaterThan(500);
});
