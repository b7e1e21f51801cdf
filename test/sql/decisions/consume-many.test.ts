import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  dataPlane,
  ledgerGaps,
  limitedApplication,
  makeCluster,
  moment,
  publish,
  type Quota,
  tokensAt,
} from "../world.ts";
import { raced } from "./raced.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");

interface Asked {
  readonly appId: string;
  readonly operation: string;
  readonly size: number;
}

function together(sql: Sql, at: string, asked: readonly Asked[]) {
  return sql<Record<string, unknown>[]>`
    select d.*
    from (
      select array_agg(o."appId") as app_ids, array_agg(o.operation) as operations,
        array_agg(o.size) as sizes
      from jsonb_to_recordset(${JSON.stringify(asked)}::text::jsonb)
        as o ("appId" uuid, operation text, size bigint)
    ) as batch
    cross join lateral rate_limiter_internal.consume_many_at(
      rate_limiter_internal.first_operations(
        ${at}, batch.app_ids, batch.operations, batch.sizes
      ),
      ${at}, batch.operations
    ) as d
  `;
}

async function alone(sql: Sql, at: string, { appId, operation, size }: Asked) {
  const [decision] = await sql`
    select * from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${operation}, ${size}
    )
  `;
  return { ...decision };
}

const head = (appId: string, size = 0): Asked => ({ appId, operation: "head", size });
const unknown = "no such operation";
const undecided = { allowed: null, cost: null, remaining: null };

/** One application of every kind that a decision tells apart, in a cluster and out of any. */
async function applicationsOfAllKinds(sql: Sql): Promise<string[]> {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: 1000, burst: 1000, bytes: 1_000_000 });
  const ids: string[] = [];
  for (const place of [{}, { clusterId }]) {
    ids.push(
      await limitedApplication(sql, { iops: 3, burst: 20 }, place),
      await limitedApplication(sql, { iops: 7, burst: 30, bytes: 9000 }, place),
      await limitedApplication(sql, { bytes: 5000 }, place),
      await limitedApplication(sql, { iops: 5, burst: 9, method: "leaky_bucket" }, place),
      await limitedApplication(sql, { iops: 5, burst: 9, method: "fixed_window" }, place),
      await limitedApplication(sql, { iops: 9, burst: 9, mode: "shadow" }, place),
    );
  }
  const ruled = await limitedApplication(sql, { iops: 3, burst: 20 });
  await sql`
    insert into rate_limiter.cost_rules (app_id, operation_id, c_base_override, valid_from)
    select ${ruled}, o.operation_id, 1.25, ${moment(0)}
    from rate_limiter.operation_types as o
    where o.name = 'head'
  `;
  return [...ids, ruled];
}

/** Terms are looked up by the first decision on an application, which takes a token of it. */
async function knownApplication(quota: Quota): Promise<string> {
  const appId = await limitedApplication(database.sql, quota);
  await alone(owner, moment(0), head(appId, quota.bytes === undefined ? 0 : 1));
  return appId;
}

/** Together, and then, as if that had not been, alone: the same answers and the same rows. */
async function compare(sql: Sql, at: string, batch: readonly Asked[]): Promise<Asked[]> {
  await sql`savepoint together`;
  const decisions = await together(sql, at, batch);
  const after = await dataPlane(sql);
  await sql`rollback to savepoint together`;

  const decided: unknown[] = [];
  const open: Asked[] = [];
  for (const [i, asked] of batch.entries()) {
    if (decisions[i]?.allowed === null) open.push(asked);
    else decided.push(await alone(sql, at, asked));
  }
  expect(decisions.filter((d) => d.allowed !== null).map((d) => ({ ...d }))).toEqual(decided);
  expect(await dataPlane(sql)).toEqual(after);
  return open;
}

/** What a decision looks up and draws ahead, a later call finds. */
async function decideOpen(sql: Sql, at: string, open: readonly Asked[]): Promise<void> {
  for (const asked of open) {
    if (asked.operation !== unknown) await alone(sql, at, asked);
  }
}

describe("what is decided together", () => {
  test("is what consume() would decide, and leaves the same behind", {
    timeout: 60_000,
  }, async () => {
    const ids = await applicationsOfAllKinds(database.sql);
    const asked = fc.record({
      appId: fc.constantFrom(...ids),
      operation: fc.constantFrom("head", "read_small", "list", unknown),
      size: fc.oneof(fc.constant(0), fc.nat(6000)),
    });
    const call = fc.record({
      waitMs: fc.nat(700),
      batch: fc.array(asked, { minLength: 1, maxLength: 8 }),
    });
    const counts = { decided: 0, open: 0 };

    const agree = (calls: { waitMs: number; batch: Asked[] }[]) =>
      database.withTransaction("rate_limiter_owner", {}, async (transaction) => {
        const sql = transaction as unknown as Sql;
        let ms = 0;
        for (const appId of ids) await alone(sql, moment(0), head(appId));
        for (const { waitMs, batch } of calls) {
          ms += waitMs;
          const at = moment(ms / 1000);
          const open = await compare(sql, at, batch);
          counts.open += open.length;
          counts.decided += batch.length - open.length;
          await decideOpen(sql, at, open);
        }
        expect(await ledgerGaps(sql)).toEqual([]);
      });
    await fc.assert(fc.asyncProperty(fc.array(call, { minLength: 2, maxLength: 12 }), agree), {
      numRuns: 60,
    });

    expect(counts.decided).toBeGreaterThan(100);
    expect(counts.open).toBeGreaterThan(100);
  });

  test("answers in the order of the questions", async () => {
    const one = await knownApplication({ iops: 1, burst: 10 });
    const two = await knownApplication({ iops: 1, burst: 20 });
    expect(await together(owner, moment(0), [head(one), head(two)])).toMatchObject([
      { allowed: true, remaining: "8.000000" },
      { allowed: true, remaining: "18.000000" },
    ]);
    expect(await together(owner, moment(0), [head(two), head(one)])).toMatchObject([
      { allowed: true, remaining: "17.000000" },
      { allowed: true, remaining: "7.000000" },
    ]);
  });

  test("charges the first operation of an application and leaves the others open", async () => {
    const appId = await knownApplication({ iops: 1, burst: 10 });
    const decisions = await together(owner, moment(0), [head(appId), head(appId), head(appId)]);
    expect(decisions).toMatchObject([{ allowed: true }, undecided, undecided]);
    expect(await tokensAt(database.sql, moment(0), appId)).toBe("8.000000");
  });

  test.each([
    [
      "an empty bucket",
      async () => {
        const appId = await limitedApplication(database.sql, { iops: 1, burst: 1 });
        await alone(owner, moment(0), head(appId));
        return head(appId);
      },
    ],
    [
      "layer 1 that has to be drawn on",
      async () => {
        const clusterId = await makeCluster(database.sql);
        await publish(database.sql, { clusterId }, { iops: 1, burst: 1 });
        return head(await limitedApplication(database.sql, { iops: 1, burst: 5 }, { clusterId }));
      },
    ],
    ["an unknown application", async () => head("00000000-0000-0000-0000-000000000000")],
  ])("leaves %s to consume(), and writes nothing", async (_, made) => {
    const asked = await made();
    const before = await dataPlane(database.sql);
    expect(await together(owner, moment(0), [asked])).toMatchObject([undecided]);
    expect(await dataPlane(database.sql)).toEqual(before);
  });

  test("is refused where arrays differ in length", async () => {
    const call = owner`
      select * from rate_limiter.consume_many(
        array[gen_random_uuid()], array['head', 'head'], array[0, 0]
      )
    `;
    await expectSqlState(call, "QS422");
  });
});

describe("at the same time", () => {
  test("two calls about the same applications in different order do not deadlock", async () => {
    const one = await knownApplication({ iops: 1, burst: 10, bytes: 100 });
    const two = await knownApplication({ iops: 1, burst: 10, bytes: 100 });
    const [, second] = await raced(
      database,
      (sql) => together(sql, moment(0), [head(one, 1), head(two, 1)]),
      (sql) => together(sql, moment(0), [head(two, 1), head(one, 1)]),
    );
    expect(second).toMatchObject([
      { allowed: true, remaining: "7.000000" },
      { allowed: true, remaining: "7.000000" },
    ]);
  });

  test("who waits goes by what is left: nothing, and all of it stays", async () => {
    const appId = await knownApplication({ iops: 1, burst: 2, bytes: 100 });
    const [, second] = await raced(
      database,
      (sql) => alone(sql, moment(0), head(appId, 1)),
      (sql) => together(sql, moment(0), [head(appId, 1)]),
    );
    expect(second).toMatchObject([undecided]);
    expect(await tokensAt(database.sql, moment(0), appId, "bandwidth_l2")).toBe("98.000000");
  });

  test("who waits leaves a window of tokens that was published meanwhile to consume()", async () => {
    const appId = await knownApplication({ iops: 1, burst: 10 });
    const [, second] = await raced(
      database,
      async (sql) => {
        await publish(sql, { appId }, { iops: 1, burst: 5, method: "fixed_window" }, moment(1));
        await alone(sql, moment(1), head(appId));
      },
      (sql) => together(sql, moment(1), [head(appId)]),
    );
    expect(second).toMatchObject([undecided]);
  });

  test("who waits goes by the quota that was published meanwhile", async () => {
    const appId = await knownApplication({ iops: 1, burst: 10 });
    const [, second] = await raced(
      database,
      (sql) => publish(sql, { appId }, { iops: 1, burst: 2 }, moment(1)),
      (sql) => together(sql, moment(1), [head(appId)]),
    );
    expect(second).toMatchObject([undecided]);
    expect(await alone(owner, moment(1), head(appId))).toMatchObject({ remaining: "1.000000" });
  });
});

test("the ledger explains all of it", async () => {
  expect(await ledgerGaps(database.sql)).toEqual([]);
});
