import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { limitedApplication, moment, publish } from "../world.ts";

const database = await createDatabase();
const { sql } = database;
let appId = "";

/** So many operations of one token each at the start of a second. */
interface Burst {
  readonly second: number;
  readonly operations: number;
}

interface Row {
  readonly minute: string;
  readonly operations: number;
  readonly peak: number;
}

interface Limits {
  readonly rate: number;
  readonly burst: number;
}

interface Trial {
  readonly recorded_minutes: number;
  readonly asked_operations: string;
  readonly throttled_asked_operations_least: string;
  readonly throttled_asked_operations_most: string;
  readonly asked_until: string;
  readonly leased_tokens: string;
  readonly notes: readonly string[];
}

/** What a caller records that decided all of it by leases. */
function recordOf(bursts: readonly Burst[]): Row[] {
  const bySecond = new Map<number, number>();
  for (const { second, operations } of bursts) {
    bySecond.set(second, (bySecond.get(second) ?? 0) + operations);
  }
  const byMinute = new Map<number, number[]>();
  for (const [second, operations] of bySecond) {
    const minute = Math.floor(second / 60);
    byMinute.set(minute, [...(byMinute.get(minute) ?? []), operations]);
  }
  return [...byMinute].map(([minute, seconds]) => ({
    minute: moment(minute * 60),
    operations: seconds.reduce((sum, operations) => sum + operations, 0),
    peak: Math.max(...seconds),
  }));
}

async function record(bursts: readonly Burst[]): Promise<void> {
  await sql`
    insert into rate_limiter_private.demand
    select
      rate_limiter_internal.app_shard_key(${appId}), ${appId}, d.minute, 'head', 0, false,
      gen_random_uuid(), d.operations, d.operations, 0, d.peak
    from jsonb_to_recordset(${sql.json(recordOf(bursts) as never)})
      as d (minute timestamptz, operations bigint, peak bigint)
  `;
}

async function candidateOf({ rate, burst }: Limits): Promise<string> {
  await publish(sql, { appId }, { iops: rate, burst, mode: "shadow" });
  const [row] = await sql`
    select config_id from rate_limiter.quota_configs where app_id = ${appId} and mode = 'shadow'
  `;
  return row?.config_id;
}

/** What the report says of the candidate and the first hour. */
async function reported(candidate: string, minutes = 60): Promise<Trial> {
  const [row] = await sql<Trial[]>`
    select * from rate_limiter_internal.try_candidate(
      ${appId}, ${candidate}, ${moment(0)}, ${moment(3600)}, 20000,
      make_interval(mins => ${minutes})
    )
  `;
  if (row === undefined) throw new Error("nothing tried");
  return row;
}

function throttledOf(bursts: readonly Burst[], { rate, burst }: Limits): number {
  let balance = burst;
  let last = 0;
  let throttled = 0;
  for (const { second, operations } of [...bursts].sort((a, b) => a.second - b.second)) {
    balance = Math.min(burst, balance + rate * (second - last));
    last = second;
    const admitted = Math.min(operations, balance);
    balance -= admitted;
    throttled += operations - admitted;
  }
  return throttled;
}

async function lease(tokens: number): Promise<void> {
  await sql`
    select rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(1)}, ${appId}, ${tokens}, 0,
      make_interval(secs => 10)
    )
  `;
}

beforeEach(async () => {
  appId = await limitedApplication(sql, { iops: 10_000 });
});

describe("what a shadow report says of leased traffic", () => {
  test("holds between its bounds what the candidate would have throttled of it", async () => {
    const bursts = fc.array(
      fc.record({ second: fc.nat(239), operations: fc.integer({ min: 1, max: 40 }) }),
      { minLength: 1, maxLength: 20 },
    );
    const limits = fc
      .record({ rate: fc.integer({ min: 1, max: 20 }), more: fc.nat(20) })
      .map(({ rate, more }) => ({ rate, burst: rate + more }));
    await fc.assert(
      fc.asyncProperty(bursts, limits, async (asked, terms) => {
        appId = await limitedApplication(sql, { iops: 10_000 });
        await record(asked);
        const report = await reported(await candidateOf(terms));
        const throttled = throttledOf(asked, terms);
        expect(Number(report.throttled_asked_operations_least)).toBeLessThanOrEqual(throttled);
        expect(Number(report.throttled_asked_operations_most)).toBeGreaterThanOrEqual(throttled);
        expect(Number(report.asked_operations)).toBe(
          asked.reduce((sum, { operations }) => sum + operations, 0),
        );
      }),
      { numRuns: Number(process.env.REPORT_RUNS ?? 12) },
    );
  });

  test("is judged by operation where the ledger has amounts alone", async () => {
    await lease(600);
    await record(Array.from({ length: 60 }, (_, second) => ({ second, operations: 10 })));
    expect(await reported(await candidateOf({ rate: 5, burst: 5 }))).toMatchObject({
      ...{ recorded_minutes: 1, asked_operations: "600" },
      ...{ leased_tokens: "600.000000", throttled_asked_operations_least: "295" },
      notes: [
        expect.stringContaining("1 leases"),
        expect.stringContaining("by the record of demand, which has totals by minute"),
      ],
    });
  });

  test("says so where nothing is on record", async () => {
    await lease(600);
    expect(await reported(await candidateOf({ rate: 5, burst: 5 }))).toMatchObject({
      recorded_minutes: 0,
      notes: [
        expect.stringContaining("1 leases"),
        expect.stringContaining("Nothing is in the record of demand"),
      ],
    });
  });

  test("ends where it may judge no further, and says where", async () => {
    await record([0, 60, 120].map((second) => ({ second, operations: 10 })));
    const report = await reported(await candidateOf({ rate: 5, burst: 5 }), 2);
    expect(report).toMatchObject({
      ...{ recorded_minutes: 2, asked_operations: "20" },
      notes: [expect.stringContaining("for a part of the span")],
    });
    expect(Date.parse(report.asked_until)).toBe(Date.parse(moment(120)));
  });
});
