import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { text } from "../../model/amounts.ts";
import { flow, type Level } from "../../model/bucket.ts";
import { costOf } from "../../model/cost.ts";
import type { Terms } from "../../model/timeline.ts";
import type { Method, World } from "../../model/world.ts";
import { epoch, makeApplication } from "../world.ts";

const database = await createDatabase();
const { sql } = database;

const million = 1_000_000n;
const minuteUs = 60n * million;
const start = BigInt(Date.parse(epoch)) * 1_000n;
const world: World = { epoch, applications: [], quotas: [] };

interface Asked {
  /** Microseconds since the first minute began. */
  readonly at: bigint;
  readonly operation: string;
  readonly size: bigint | null;
  readonly wasDenied: boolean;
  /** Whether the record has its operation. */
  readonly isNamed: boolean;
}

interface Limits {
  readonly iops: {
    readonly rate: number;
    readonly burst: number;
    readonly seconds: number;
    readonly method: Method;
  } | null;
  readonly bytes: {
    readonly rate: number;
    readonly burst: number;
    readonly seconds: number;
    readonly oversize: boolean;
  } | null;
}

interface Preview {
  readonly recorded_minutes: number;
  readonly operations: number;
  readonly bytes: number;
  readonly throttled_operations_before: number;
  readonly throttled_operations_least: number;
  readonly throttled_operations_most: number;
  readonly throttled_bytes_before: number;
  readonly throttled_bytes_least: number;
  readonly throttled_bytes_most: number;
}

let appId = "";
beforeAll(async () => {
  appId = await makeApplication(sql);
});

const costIn = ({ operation, size }: Asked) => costOf(world, "app", operation, size, start);

function sizeClassOf(size: bigint | null): number {
  return size ? size.toString(2).length : 0;
}

/** As those who decide record it: totals by minute, operation, size class and verdict. */
function recordOf(asked: readonly Asked[]) {
  const rows = new Map<
    string,
    { operations: number; tokens: bigint; bytes: bigint; key: unknown[] }
  >();
  const seconds = new Map<string, Map<bigint, number>>();
  for (const one of asked) {
    const minute = one.at / minuteUs;
    const name = one.isNamed ? one.operation : "";
    const key = [minute, name, sizeClassOf(one.size), one.wasDenied];
    const id = key.join();
    const row = rows.get(id) ?? { operations: 0, tokens: 0n, bytes: 0n, key };
    row.operations += 1;
    row.tokens += costIn(one);
    row.bytes += one.size ?? 0n;
    rows.set(id, row);
    const bySecond = seconds.get(id) ?? new Map<bigint, number>();
    bySecond.set(one.at / million, (bySecond.get(one.at / million) ?? 0) + 1);
    seconds.set(id, bySecond);
  }
  return [...rows].map(([id, { operations, tokens, bytes, key }]) => ({
    minute: new Date(Number((start + (key[0] as bigint) * minuteUs) / 1_000n)).toISOString(),
    ...{ operation: key[1], size_class: key[2], is_denied: key[3], operations },
    ...{ tokens: text(tokens), bytes: String(bytes) },
    peak_operations: Math.max(...(seconds.get(id)?.values() ?? [])),
  }));
}

async function record(rows: readonly object[]): Promise<void> {
  await sql`delete from rate_limiter_private.demand where app_id = ${appId}`;
  await sql`
    insert into rate_limiter_private.demand
    select
      rate_limiter_internal.app_shard_key(${appId}), ${appId}, d.minute, d.operation, d.size_class,
      d.is_denied, gen_random_uuid(), d.operations, d.tokens, d.bytes, d.peak_operations
    from jsonb_to_recordset(${sql.json(rows as never)}) as d (
      minute timestamptz, operation text, size_class smallint, is_denied boolean,
      operations bigint, tokens numeric, bytes numeric, peak_operations bigint
    )
  `;
}

async function previewOf({ iops, bytes }: Limits): Promise<Preview> {
  const iopsTerms = iops && {
    iops_limit: iops.method === "fixed_window" ? iops.burst : iops.rate,
    iops_burst: iops.burst,
    ...{ refill_rate: iops.rate, calculation_method: iops.method },
    burst_duration_seconds: iops.seconds,
  };
  const byteTerms = bytes && {
    ...{ bandwidth_limit_bps: bytes.rate, bandwidth_burst_bps: bytes.burst },
    ...{ refill_rate_bps: bytes.rate, burst_duration_seconds: bytes.seconds },
    allow_oversize: bytes.oversize,
  };
  const [row] = await sql<Preview[]>`
    select
      recorded_minutes, operations::float8, bytes::float8,
      throttled_operations_before::float8, throttled_operations_least::float8,
      throttled_operations_most::float8, throttled_bytes_before::float8,
      throttled_bytes_least::float8, throttled_bytes_most::float8
    from rate_limiter_internal.preview_quota(
      ${appId}, ${JSON.stringify(iopsTerms)}::text::jsonb, ${JSON.stringify(byteTerms)}::text::jsonb,
      ${epoch}, ${epoch}::timestamptz + interval '1 day'
    )
  `;
  if (row === undefined) throw new Error("no preview");
  return row;
}

interface Bucket {
  readonly terms: Terms;
  level: Level;
  readonly chargeOf: (one: Asked) => bigint;
}

function bucketOf(
  { rate, burst, seconds }: { rate: number; burst: number; seconds: number },
  method: Method,
  oversize: boolean,
  chargeOf: Bucket["chargeOf"],
): Bucket {
  const capacity =
    method === "fixed_window" ? burst * seconds : Math.max(burst, (burst - rate) * seconds);
  const terms: Terms = {
    ...{ method, capacity: BigInt(capacity) * million, rate: BigInt(rate), oversize },
    ...{ window: BigInt(seconds) * million, minReserve: 0n },
  };
  const level = { tokens: terms.capacity, last: start, position: 0, proratedSince: null };
  return { terms, level, chargeOf };
}

/** Section 6, for an application's own buckets. */
function offers({ terms, level, chargeOf }: Bucket, one: Asked): boolean {
  const charge = chargeOf(one);
  if (one.size === null && terms.oversize && level.tokens < 0n) return false;
  if (charge === 0n) return true;
  if (charge <= terms.capacity) return level.tokens >= charge;
  const debtLimit = terms.rate * 3_600n * million;
  return terms.oversize && charge - terms.capacity <= debtLimit && level.tokens >= terms.capacity;
}

function throttledOf(asked: readonly Asked[], { iops, bytes }: Limits) {
  const buckets = [
    ...(iops ? [bucketOf(iops, iops.method, false, costIn)] : []),
    ...(bytes
      ? [bucketOf(bytes, "token_bucket", bytes.oversize, (one) => (one.size ?? 0n) * million)]
      : []),
  ];
  let operations = 0;
  let size = 0n;
  for (const one of asked) {
    for (const bucket of buckets) bucket.level = flow(bucket.level, bucket.terms, start + one.at);
    if (buckets.every((bucket) => offers(bucket, one))) {
      for (const bucket of buckets) {
        const tokens = bucket.level.tokens - bucket.chargeOf(one);
        bucket.level = { ...bucket.level, tokens };
      }
    } else {
      operations += 1;
      size += one.size ?? 0n;
    }
  }
  return { operations, bytes: Number(size) };
}

/** Operations in bursts, many at the edges of seconds, where two busy ones meet. */
const streams = fc
  .array(
    fc.record({
      second: fc.oneof(fc.nat(299), fc.constantFrom(0, 1, 2, 59, 60, 61, 119, 120)),
      edge: fc.oneof(fc.constantFrom(0, 999_999), fc.nat(999_999)),
      apart: fc.oneof(fc.constant(0), fc.nat(400_000)),
      times: fc.integer({ min: 1, max: 60 }),
      operation: fc.constantFrom("head", "list", "write_small"),
      size: fc.oneof(fc.constantFrom(null, 0, 1), fc.nat(300), fc.integer({ min: 1, max: 20_000 })),
      wasDenied: fc.boolean(),
      isNamed: fc.boolean(),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map((bursts) =>
    bursts
      .flatMap(({ second, edge, apart, times, operation, size, wasDenied, isNamed }, burst) =>
        Array.from({ length: times }, (_, at): Asked => {
          const moment = second * 1_000_000 + edge + at * apart;
          // Sizes of a burst differ; what has no name is alike.
          const varied = size === null || !isNamed ? size : size + ((size * at * (burst + 1)) % 7);
          return {
            at: BigInt(moment),
            operation: isNamed ? operation : "head",
            size: varied === null ? null : BigInt(varied),
            ...{ wasDenied, isNamed },
          };
        }),
      )
      .sort((one, other) => Number(one.at - other.at)),
  );

const limits: fc.Arbitrary<Limits> = fc
  .record({
    iops: fc.option(
      fc.record({
        rate: fc.integer({ min: 1, max: 40 }),
        more: fc.nat(60),
        seconds: fc.constantFrom(1, 2, 7, 45, 60, 90, 120),
        method: fc.constantFrom<Method>("token_bucket", "leaky_bucket", "fixed_window"),
      }),
      { nil: null },
    ),
    bytes: fc.option(
      fc.record({
        rate: fc.integer({ min: 1, max: 5_000 }),
        more: fc.nat(20_000),
        seconds: fc.integer({ min: 1, max: 3 }),
        oversize: fc.boolean(),
      }),
      { nil: null },
    ),
  })
  .map(({ iops, bytes }) => ({
    iops: iops && {
      ...iops,
      burst: iops.method === "fixed_window" ? iops.rate : iops.rate + iops.more,
    },
    bytes: bytes && { ...bytes, burst: bytes.rate + bytes.more },
  }));

const steady = (perSecond: number, seconds: number, more: Partial<Asked> = {}): Asked[] =>
  Array.from({ length: perSecond * seconds }, (_, at) => ({
    at: (BigInt(at) * million) / BigInt(perSecond),
    operation: "head",
    size: 0n,
    ...{ wasDenied: false, isNamed: true },
    ...more,
  }));

const iopsOf = (rate: number, burst = rate, seconds = 1): Limits => ({
  iops: { rate, burst, seconds, method: "token_bucket" },
  bytes: null,
});

describe("a preview of a quota", () => {
  test("holds between its bounds what the arithmetic of decisions throttles", async () => {
    await fc.assert(
      fc.asyncProperty(streams, limits, async (asked, terms) => {
        await record(recordOf(asked));
        const preview = await previewOf(terms);
        const { operations, bytes } = throttledOf(asked, terms);
        const { throttled_operations_least: least, throttled_operations_most: most } = preview;
        expect(least).toBeLessThanOrEqual(operations);
        expect(most).toBeGreaterThanOrEqual(operations);
        expect(preview.throttled_bytes_least).toBeLessThanOrEqual(bytes);
        expect(preview.throttled_bytes_most).toBeGreaterThanOrEqual(bytes);
        expect(preview.operations).toBe(asked.length);
      }),
      { numRuns: Number(process.env.PREVIEW_RUNS ?? 60) },
    );
  });

  test("of a steady stream within the limit throttles none of it", async () => {
    const cost = Number(costIn(steady(1, 1)[0] as Asked)) / 1e6;
    await record(recordOf(steady(20, 180)));
    expect(await previewOf(iopsOf(50 * cost))).toMatchObject({
      ...{ recorded_minutes: 3, operations: 3_600 },
      ...{ throttled_operations_least: 0, throttled_operations_most: 0 },
    });
  });

  test("of a steady stream at twice the limit throttles half of it and no less", async () => {
    await record(recordOf(steady(20, 600)));
    const preview = await previewOf(iopsOf(10));
    expect(preview.throttled_operations_least).toBe(12_000 - 6_000 - 10);
    expect(preview.throttled_operations_most).toBeGreaterThan(6_000);
  });

  test("knows a burst by its second", async () => {
    const burst = Array.from({ length: 60 }, () => steady(1, 1)[0] as Asked);
    await record(recordOf(burst));
    expect(await previewOf(iopsOf(20, 20))).toMatchObject({
      throttled_operations_least: 0,
      throttled_operations_most: 41,
    });
    expect(await previewOf(iopsOf(100, 100))).toMatchObject({ throttled_operations_most: 0 });
  });

  test("carries what is left from minute to minute", async () => {
    const minutes = [
      ...steady(10, 60),
      ...steady(10, 60).map((one) => ({ ...one, at: one.at + minuteUs })),
    ];
    await record(recordOf(minutes));
    expect((await previewOf(iopsOf(1, 300, 2))).throttled_operations_least).toBe(1_200 - 598 - 120);
  });

  test("tells what was denied, and decides it again", async () => {
    await record(recordOf([...steady(10, 60), ...steady(5, 60, { wasDenied: true, size: 100n })]));
    expect(await previewOf(iopsOf(1_000))).toMatchObject({
      ...{ operations: 900, throttled_operations_before: 300, throttled_bytes_before: 30_000 },
      ...{ throttled_operations_least: 0, throttled_operations_most: 0 },
    });
  });

  test("of nothing on record says so", async () => {
    await record([]);
    expect(await previewOf(iopsOf(1))).toMatchObject({
      ...{ recorded_minutes: 0, operations: 0, throttled_operations_most: 0 },
    });
  });
});
