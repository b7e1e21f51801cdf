import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Sql, TransactionSql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  dataPlane,
  ledgerGaps,
  limitedApplication,
  makeApplication,
  makeCluster,
  moment,
  publish,
  setSetting,
} from "../world.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");
const gateway = database.as("rate_limiter_app");

interface Operation {
  readonly name: string;
  readonly size: number;
  readonly reference: string | null;
}

/** An application whose four buckets are all small enough to run dry. */
async function fourBuckets(): Promise<string> {
  const clusterId = await makeCluster(database.sql);
  await publish(database.sql, { clusterId }, { iops: 2, burst: 25, bytes: 8000 });
  const quota = { iops: 3, burst: 20, bytes: 6000, oversize: true };
  return limitedApplication(database.sql, quota, { clusterId });
}

/** Runs work on a world and undoes it, so that another road starts from the same. */
async function undone<T>(work: (sql: TransactionSql) => Promise<T>): Promise<T> {
  return database.withTransaction("rate_limiter_owner", {}, work);
}

async function onebyOne(sql: TransactionSql, appId: string, at: string, operations: Operation[]) {
  const answers: unknown[] = [];
  for (const { name, size, reference } of operations) {
    const [answer] = await sql`
      select * from rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${at}, ${appId}, ${name}, ${size}, ${reference}
      )
    `;
    answers.push({ ...answer });
  }
  return answers;
}

async function inABatch(sql: TransactionSql, appId: string, at: string, operations: Operation[]) {
  const answers = await sql`
    select * from rate_limiter_internal.consume_batch_at(
      rate_limiter_internal.app_shard_key(${appId}),
      ${at}, ${appId}, ${operations.map((operation) => operation.name)},
      ${operations.map((operation) => operation.size)}::bigint[],
      ${operations.map((operation) => operation.reference)}::text[]
    )
  `;
  return answers.map((answer) => ({ ...answer }));
}

async function tokensOf(sql: TransactionSql, appId: string) {
  const buckets = await sql`
    select b.bucket_type, b.current_tokens, b.last_refill_at
    from rate_limiter.token_buckets as b
    where b.owner_id in (
      ${appId}, (select a.cluster_id from rate_limiter.applications as a where a.app_id = ${appId})
    )
    order by b.bucket_type
  `;
  return buckets.map((bucket) => ({ ...bucket }));
}

const operations = fc.array(
  fc.record({
    name: fc.constantFrom("head", "list", "read_small", "write_large"),
    size: fc.constantFrom(0, 1, 4096, 5999, 6000, 6001, 20_000),
    reference: fc.option(fc.uuid(), { freq: 3 }),
  }),
  { minLength: 1, maxLength: 12 },
);

/** Found by random runs: the only operation with bytes is denied, and its buckets stay as stored. */
const deniedBytes: Operation[] = [
  { name: "write_large", size: 0, reference: null },
  { name: "write_large", size: 0, reference: null },
  { name: "head", size: 4096, reference: null },
];

describe("a batch", () => {
  // Only one by one do operations leave tokens of layer 1 in a stripe.
  test("answers as its operations one by one, where layer 1 is exact", async () => {
    await setSetting(database.sql, "layer1_prefetch_ms", 0);
    const appId = await fourBuckets();
    await fc.assert(
      fc.asyncProperty(operations, fc.integer({ min: 0, max: 3 }), async (batch, seconds) => {
        const at = moment(seconds);
        const singles = await undone(async (sql) => [
          await onebyOne(sql, appId, at, batch),
          await tokensOf(sql, appId),
        ]);
        const together = await undone(async (sql) => [
          await inABatch(sql, appId, at, batch),
          await tokensOf(sql, appId),
        ]);
        expect(together).toEqual(singles);
      }),
      { numRuns: 60, examples: [[deniedBytes, 0]] },
    );
  });

  test("is written as one row of the ledger for each bucket", async () => {
    const appId = await fourBuckets();
    const names = ["head", "head", "head"];
    await gateway`
      select * from rate_limiter.consume_batch(${appId}, ${names}, ${[1, 2, 3]}::bigint[])
    `;
    const rows = await database.sql`
      select t.bucket_type, t.tokens_change, t.metadata
      from rate_limiter.token_transactions as t
      where t.owner_id = ${appId} and t.transaction_type = 'consume'
      order by t.bucket_type
    `;
    expect(rows.map((row) => ({ ...row }))).toEqual([
      { bucket_type: "iops_l2", tokens_change: "-3.000000", metadata: { operations: 3 } },
      { bucket_type: "bandwidth_l2", tokens_change: "-6.000000", metadata: { operations: 3 } },
    ]);
    expect(await ledgerGaps(database.sql)).toEqual([]);
  });

  test("that cannot be priced as a whole takes nothing", async () => {
    const appId = await fourBuckets();
    const before = await dataPlane(database.sql);
    await expectSqlState(
      gateway`
        select rate_limiter.consume_batch(${appId}, array['head', 'teleport'], array[0, 0]::bigint[])
      `,
      "QS404",
      "unknown operation",
    );
    expect(await dataPlane(database.sql)).toEqual(before);
  });
});

describe("check_limit", () => {
  test("answers as a consume would, and takes nothing", async () => {
    await setSetting(database.sql, "layer1_prefetch_ms", 0);
    const appId = await fourBuckets();
    const before = await dataPlane(database.sql);
    await fc.assert(
      fc.asyncProperty(operations, async (sequence) => {
        await undone(async (sql) => {
          for (const { name, size } of sequence) {
            const [foreseen] = await sql`
              select * from rate_limiter_internal.check_limit_at(
                rate_limiter_internal.app_shard_key(${appId}), ${moment(1)}, ${appId}, ${name}, ${size}
              )
            `;
            const [decided] = await sql`
              select * from rate_limiter_internal.consume_at(
                rate_limiter_internal.app_shard_key(${appId}), ${moment(1)}, ${appId}, ${name}, ${size}
              )
            `;
            expect(foreseen).toEqual(decided);
          }
        });
      }),
      { numRuns: 40 },
    );
    await gateway`select * from rate_limiter.check_limit(${appId}, 'head', 1)`;
    expect(await dataPlane(database.sql)).toEqual(before);
  });
});

describe("a decision", () => {
  test("on a size of up to the largest is an answer, and costs what it says", async () => {
    const appId = await limitedApplication(database.sql, { iops: 10 });
    const largest = 2n ** 63n - 1n;
    // 2 tokens, and 0.0002 for each 4096 bytes: in millionths, rounded up.
    const millionths = 2_000_000n + (largest * 200n + 4095n) / 4096n;
    const cost = `${millionths / 1_000_000n}.${String(millionths % 1_000_000n).padStart(6, "0")}`;
    const [answer] = await gateway`
      select * from rate_limiter.consume(${appId}, 'write_small', ${String(largest)}::bigint)
    `;
    expect(answer).toMatchObject({
      allowed: false,
      reason: "exceeds_capacity",
      retry_after_ms: null,
    });
    expect(Number.parseFloat(answer?.cost)).toBeGreaterThan(0);
    const [{ exact } = {}] = await database.sql`
      select ${answer?.cost}::text::numeric = ${cost}::text::numeric as exact
    `;
    expect(exact).toBe(true);
  });

  test("takes null for a size of nothing", async () => {
    const appId = await limitedApplication(database.sql, { iops: 10, bytes: 10 });
    const [answer] = await gateway`select * from rate_limiter.consume(${appId}, 'head', null)`;
    expect(answer).toMatchObject({ allowed: true, cost: "1.000000", remaining_bytes: "10.000000" });
  });

  test("without any quota is allowed, and leaves no trace", async () => {
    const appId = await makeApplication(database.sql);
    const before = await dataPlane(database.sql);
    const [answer] = await gateway`select * from rate_limiter.consume(${appId}, 'head', 1)`;
    expect(answer).toMatchObject({ allowed: true, remaining: null, remaining_bytes: null });
    expect(await dataPlane(database.sql)).toEqual(before);
  });
});

test("an application is suspended up to a moment, and decides from it on", async () => {
  const appId = await limitedApplication(database.sql, { iops: 1, burst: 10 });
  await database.sql`
    update rate_limiter.app_facts set suspended_until = ${moment(10)} where app_id = ${appId}
  `;
  const calls = (at: string) => [
    owner`select rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 'head', 0
    )`,
    owner`select rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 'head', 0, 'r'
    )`,
    owner`select rate_limiter_internal.consume_batch_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, '{head}', '{0}'
    )`,
    owner`select rate_limiter_internal.check_limit_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 'head', 0
    )`,
    owner`select rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 1, 0
    )`,
  ];
  for (const call of calls("2020-01-01T00:00:09.999999Z")) {
    await expectSqlState(call, "QS403", "application is suspended");
  }
  await Promise.all(calls(moment(10)));
});

describe("a retry under the same reference", () => {
  const consume = (sql: Sql, appId: string, at: string, size: number, reference: string) => sql`
    select * from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 'head', ${size}, ${reference}
    )
  `;

  test("takes nothing, at no larger a size, once and later", async () => {
    const appId = await fourBuckets();
    const [first] = await consume(owner, appId, moment(0), 100, "upload 1");
    const taken = await dataPlane(database.sql);
    for (const size of [100, 99, 0]) {
      const [again] = await consume(owner, appId, moment(0), size, "upload 1");
      expect(again).toEqual(first);
    }
    const [byBatch] = await owner`
      select * from rate_limiter_internal.consume_batch_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment(0)}, ${appId}, array['head'], array[100]::bigint[], array['upload 1']
      )
    `;
    expect(byBatch).toEqual(first);
    expect(await dataPlane(database.sql)).toEqual(taken);
  });

  test("is an error by another operation or at a larger size, until it is refunded", async () => {
    const appId = await fourBuckets();
    await consume(owner, appId, moment(0), 100, "upload 2");
    const taken = await dataPlane(database.sql);
    const list = owner`
      select rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'list', 100, 'upload 2'
      )
    `;
    for (const other of [consume(owner, appId, moment(0), 101, "upload 2"), list]) {
      await expectSqlState(other, "QS409", "reference is of another operation");
    }
    expect(await dataPlane(database.sql)).toEqual(taken);
    await owner`select rate_limiter_internal.refund_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'upload 2'
    )`;
    expect(await consume(owner, appId, moment(0), 101, "upload 2")).toMatchObject([
      { allowed: true },
    ]);
  });

  test("after a settle at a larger size is held to what was asked", async () => {
    const appId = await fourBuckets();
    await consume(owner, appId, moment(0), 100, "upload 3");
    await owner`
      select rate_limiter_internal.settle_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'upload 3', 300
      )
    `;
    expect(await consume(owner, appId, moment(0), 100, "upload 3")).toMatchObject([
      { allowed: true },
    ]);
    await expectSqlState(consume(owner, appId, moment(0), 101, "upload 3"), "QS409");
  });

  test("is admitted again where nothing is left", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 1 });
    const [first] = await consume(owner, appId, moment(0), 0, "r");
    const [other] = await consume(owner, appId, moment(0), 0, "another");
    const [again] = await consume(owner, appId, moment(0), 0, "r");
    expect([first?.allowed, other?.allowed, again?.allowed]).toEqual([true, false, true]);
  });

  test("of a denial is decided anew: a denial leaves nothing behind", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 1 });
    await consume(owner, appId, moment(0), 0, "r");
    const [denied] = await consume(owner, appId, moment(0), 0, "another");
    const [later] = await consume(owner, appId, moment(1), 0, "another");
    expect([denied?.allowed, later?.allowed]).toEqual([false, true]);
  });

  test("means another operation for another application", async () => {
    const quota = { iops: 1, burst: 1 };
    const [one, two] = [
      await limitedApplication(database.sql, quota),
      await limitedApplication(database.sql, quota),
    ];
    await consume(owner, one, moment(0), 0, "same name");
    const [answer] = await consume(owner, two, moment(0), 0, "same name");
    expect(answer).toMatchObject({ allowed: true, remaining: "0.000000" });
  });
});

describe("what takes longer than a clock can say", () => {
  const longest = "9223372036854775807";
  const consumeAt = (appId: string, operation: string, size: string) =>
    owner`
      select allowed, reason, retry_after_ms, delay_ms
      from rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment(0)}, ${appId}, ${operation}, ${size}::text::bigint
      )
    `;

  test("is answered with the longest wait that there is", async () => {
    const appId = await makeApplication(database.sql);
    await database.sql`
      select rate_limiter_internal.publish_quota_at(
        ${moment(0)}, ${appId}, null, 'enforce', null, null, null,
        ${JSON.stringify({
          ...{ bandwidth_limit_bps: 1, bandwidth_burst_bps: "1000000000000000000" },
          ...{ burst_duration_seconds: 1, refill_rate_bps: 1, allow_oversize: false },
        })}::text::jsonb,
        'test'
      )
    `;
    const size = "1000000000000000000";
    expect(await consumeAt(appId, "head", size)).toMatchObject([{ allowed: true }]);
    expect(await consumeAt(appId, "head", size)).toMatchObject([
      { allowed: false, reason: "bandwidth_l2", retry_after_ms: longest },
    ]);
  });
});
