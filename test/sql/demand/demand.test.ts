import { beforeEach, describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";

const database = await createDatabase();
const { sql } = database;
const caller = database.as("rate_limiter_app");
const worker = database.as("rate_limiter_worker");
const owner = database.as("rate_limiter_owner");

const minuteOf = (at: number) => new Date(Math.floor(at / 60_000) * 60_000).toISOString();
const minute = minuteOf(Date.now());

const total = (operations: number, more: object = {}) => ({
  ...{ minute, counter: "one", operation: "write_small", size_class: 13, is_denied: false },
  ...{ operations, tokens: String(2 * operations), bytes: 4096 * operations },
  ...{ peak_operations: Math.min(operations, 3), ...more },
});

let appId = "";

beforeEach(async () => {
  appId = await makeApplication(database, { limit: 1000, burst: 100_000 });
});

const handIn = (demand: unknown, app = appId, by: Sql = caller) =>
  by`select rate_limiter.report_counts(${app}, null, ${by.json(demand as [])})`;

interface Row {
  readonly operation: string;
  readonly size_class: number;
  readonly is_denied: boolean;
  readonly operations: number;
  readonly tokens: number;
  readonly bytes: number;
  readonly peak: number;
}

/** The record of the application, its minutes added up. */
async function recordOf(app = appId): Promise<Row[]> {
  const rows = await owner<Row[]>`
    select
      d.operation, d.size_class, d.is_denied, sum(d.operations)::float8 as operations,
      sum(d.tokens)::float8 as tokens, sum(d.bytes)::float8 as bytes,
      sum(d.peak_operations)::float8 as peak
    from rate_limiter_internal.demand_of(
      rate_limiter_internal.app_shard_key(${app}), ${app}, now() - interval '2 days',
      now() + interval '2 days'
    ) as d
    group by 1, 2, 3
    order by 1, 2, 3
  `;
  return [...rows].map((row) => ({ ...row }));
}

const rowOf = (operations: number, more: Partial<Row> = {}): Row => ({
  ...{ operation: "write_small", size_class: 13, is_denied: false, operations },
  ...{ tokens: 2 * operations, bytes: 4096 * operations, peak: Math.min(operations, 3), ...more },
});

test.each([
  [0, 0],
  [1, 1],
  [2, 2],
  [3, 2],
  [4095, 12],
  [4096, 13],
  [2 ** 53, 54],
])("%i bytes are of size class %i", async (bytes, sizeClass) => {
  const [row] = await owner`select rate_limiter_internal.size_class(${bytes}) as class`;
  expect(row?.class).toBe(sizeClass);
});

describe("what callers hand in", () => {
  test("comes with each call about leases, and with a call of its own", async () => {
    const lease = (id: string, sizeClass: number) =>
      caller`select * from rate_limiter.lease_tokens(
        ${appId}, 10, 0, lease_id => ${id}, demand => ${caller.json([total(1, { size_class: sizeClass })])}
      )`;
    const ids = [1, 2, 3].map(() => crypto.randomUUID());
    const [first = "", second = "", third = ""] = ids;
    await lease(first, 1);
    await caller`select * from rate_limiter.renew_lease(
      ${appId}, ${first}, 1, 0, 10, 0, next_lease_id => ${second},
      demand => ${caller.json([total(1, { size_class: 2 })])}
    )`;
    await caller`select * from rate_limiter.settle_lease(
      ${appId}, ${second}, 1, 0, demand => ${caller.json([total(1, { size_class: 3 })])}
    )`;
    await handIn([total(1, { size_class: 4 })]);
    const renewal = { app_id: appId, tokens: 10, bytes: 0, next_lease_id: third };
    await caller`select rate_limiter.exchange_leases(
      ${caller.json([{ ...renewal, demand: [total(1, { size_class: 5 })] }])},
      ${caller.json([{ app_id: appId, demand: [total(1, { size_class: 6 })] }])}, '[]'
    )`;
    expect((await recordOf()).map(({ size_class }) => size_class)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("counts once, however often a call is made again, in whatever order", async () => {
    for (const operations of [3, 3, 7, 5]) await handIn([total(operations)]);
    await handIn([total(9), total(8)]);
    expect(await recordOf()).toEqual([rowOf(9)]);
  });

  test("is bounded, whatever names a caller gives its counters", async () => {
    for (let call = 0; call < 12; call += 1) {
      const totals = Array.from({ length: 1000 }, (_, at) =>
        total(1, { counter: `${call} ${at}` }),
      );
      await handIn(totals);
    }
    expect((await recordOf())[0]?.operations).toBe(10_000);
  });

  test("is added up over callers, before and after their totals are merged", async () => {
    await handIn([total(4), total(2, { counter: "two" }), total(1, { is_denied: true })]);
    await sql`update rate_limiter_private.demand set minute = minute - interval '80 minutes'`;
    const merged = [rowOf(6, { peak: 5 }), rowOf(1, { is_denied: true })];
    expect(await recordOf()).toEqual(merged);
    await worker`select rate_limiter_private.merge_demand(1000)`;
    expect(await recordOf()).toEqual(merged);
    const rows = await sql`select from rate_limiter_private.demand where app_id = ${appId}`;
    expect(rows).toHaveLength(2);
    // Of a minute that may be merged nothing is taken.
    await handIn([total(4, { minute: minuteOf(Date.now() - 80 * 60_000) })]);
    expect(await recordOf()).toEqual(merged);
  });

  test("is left out where the operation is unknown, or the minute another", async () => {
    await handIn([
      total(1, { operation: "teleport" }),
      total(2, { minute: minuteOf(Date.now() + 300_000) }),
      total(3, { minute: minuteOf(Date.now() - 3_700_000) }),
      total(4, { minute: new Date(Date.parse(minute) - 59_000).toISOString() }),
    ]);
    expect(await recordOf()).toEqual([]);
  });

  test("is of the application that it was handed in for, and of no other", async () => {
    await handIn([{ ...total(5), app_id: await makeApplication(database) }]);
    expect(await recordOf()).toEqual([rowOf(5)]);
  });

  test("may be as large as its types, and is added up nevertheless", async () => {
    const most = {
      operations: 10 ** 14,
      tokens: `${"9".repeat(24)}.999999`,
      bytes: "9".repeat(24),
    };
    const large = (counter: string) => total(1, { ...most, counter, peak_operations: 10 ** 14 });
    await handIn(Array.from({ length: 20 }, (_, i) => large(`counter ${i}`)));
    await sql`update rate_limiter_private.demand set minute = minute - interval '80 minutes'`;
    await worker`select rate_limiter_private.merge_demand(1000)`;
    expect((await recordOf())[0]?.tokens).toBe(2e25);
  });

  test("writes nothing where it was told before", async () => {
    await handIn([total(5)]);
    const versionOf = () => sql`select xmin::text, ctid::text from rate_limiter_private.demand`;
    const before = await versionOf();
    await handIn([total(5)]);
    expect(await versionOf()).toEqual(before);
  });

  test.each([
    ["no list", { minute }],
    ["no counter", [total(1, { counter: "" })]],
    ["no operation", [total(1, { operation: undefined })]],
    ["no such size class", [total(1, { size_class: 64 })]],
    ["no operations", [total(0)]],
    ["less than nothing", [total(1, { tokens: "-1" })]],
    ["parts of bytes", [total(1, { bytes: 0.5 })]],
    ["no such date", [total(1, { minute: "2026-02-30T00:00Z" })]],
    ["too much", Array.from({ length: 1001 }, () => total(1))],
  ])("is refused: %s", async (_, demand) => {
    await expectSqlState(handIn(demand), "QS422", "demand is malformed");
  });
});

describe("what the database decided", () => {
  const refresh = () => worker`select rate_limiter_private.refresh_daily_quota_usage()`;

  async function limitBytes(): Promise<void> {
    const seconds = { burst_duration_seconds: 1 };
    const iops = { iops_limit: 1000, iops_burst: 1000, refill_rate: 1000, ...seconds };
    const rate = 1_000_000;
    await sql`
      select rate_limiter_internal.publish_quota_at(
        now(), ${appId}, null, 'enforce', null, null, ${sql.json(iops)},
        ${sql.json({
          ...{ bandwidth_limit_bps: rate, bandwidth_burst_bps: rate, refill_rate_bps: rate },
          ...seconds,
        })}, 'test'
      )
    `;
  }

  test("is counted once, from the ledger as it grows, by size", async () => {
    await limitBytes();
    const consume = (size: number, times: number) =>
      caller`select rate_limiter.consume(${appId}, 'write_small', ${size})
        from generate_series(1, ${times}::integer)`;
    const amounts = async () =>
      (await recordOf()).map((row) => [row.size_class, row.operations, row.bytes]);
    await consume(4096, 3);
    expect(await amounts()).toEqual([[13, 3, 12_288]]);
    await refresh();
    await consume(4096, 2);
    await consume(0, 4);
    const all = [
      [0, 4, 0],
      [13, 5, 20_480],
    ];
    expect(await amounts()).toEqual(all);
    for (let i = 0; i < 2; i += 1) {
      await refresh();
      expect(await amounts()).toEqual(all);
    }
    const [ledger] = await sql`
      select -sum(tokens_change)::float8 as tokens from rate_limiter.token_transactions
      where owner_id = ${appId} and bucket_type = 'iops_l2' and transaction_type = 'consume'
    `;
    const tokens = (await recordOf()).reduce((sum, row) => sum + row.tokens, 0);
    expect(tokens).toBeCloseTo(ledger?.tokens, 6);
  });

  test("is counted in slices that end anywhere, and has its operation where it has a reference", async () => {
    await limitBytes();
    for (let i = 0; i < 5; i += 1) {
      await caller`select rate_limiter.consume(${appId}, 'write_small', 100, reference_id => ${`r${i}`})`;
    }
    let from: string | null = null;
    do {
      const [slice]: { next_app_id: string | null }[] = await worker`
        select * from rate_limiter_private.refresh_daily_quota_usage(${from}::uuid, 1000, 2)
      `;
      from = slice?.next_app_id ?? null;
    } while (from !== null);
    expect(await recordOf()).toMatchObject([
      { operation: "write_small", size_class: 7, operations: 5, bytes: 500 },
    ]);
  });

  test("is counted by its bytes where no tokens were taken", async () => {
    await limitBytes();
    await caller`select rate_limiter.consume(${appId}, 'write_small', 100)`;
    await sql`
      delete from rate_limiter.token_transactions
      where owner_id = ${appId} and bucket_type = 'iops_l2'
    `;
    await refresh();
    expect(await recordOf()).toMatchObject([
      { size_class: 7, operations: 1, tokens: 0, bytes: 100 },
    ]);
  });

  test("denials are those of the denial counts, and callers' are among them", async () => {
    const { sql: session } = await database.session("denying", "rate_limiter_app");
    const answers = await session`
      select d.allowed
      from generate_series(1, 4) as i
      cross join lateral rate_limiter.consume(${appId}, 'write_small', 1000000000000000 + i) as d
    `;
    expect(answers.map(({ allowed }) => allowed)).toEqual([false, false, false, false]);
    await caller`select rate_limiter.report_counts(
      ${appId},
      ${caller.json([{ minute, reason: "iops_l2", counter: "one", operations: 2, tokens: "4", bytes: 8192 }])},
      ${caller.json([total(2, { is_denied: true })])}
    )`;
    const denied = (await recordOf()).filter((row) => row.is_denied);
    expect(denied.find((row) => row.operation === "write_small")).toEqual(
      rowOf(2, { is_denied: true, peak: 2 }),
    );
    const [counted] = await sql`
      select sum(operations)::integer as operations from rate_limiter.v_denial_counts
      where app_id = ${appId}
    `;
    expect(counted?.operations).toBeGreaterThan(2);
    expect(denied.reduce((sum, row) => sum + row.operations, 0)).toBe(counted?.operations);
  });

  test("follows its application to another cluster", async () => {
    await handIn([total(5)]);
    const [moved] = await sql`
      with cluster as (
        insert into rate_limiter.clusters (name, region) values (${crypto.randomUUID()}, 'north')
        returning cluster_id
      )
      update rate_limiter.applications set cluster_id = (select cluster_id from cluster)
      where app_id = ${appId} returning shard_key
    `;
    expect(moved).toBeDefined();
    expect(await recordOf()).toEqual([rowOf(5)]);
  });
});
