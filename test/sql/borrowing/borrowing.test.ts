import { afterEach, describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  dataPlane,
  ledgerGaps,
  limitedApplication,
  makeCluster,
  makeTenant,
  moment,
  publish,
  setSetting,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");
const worker = database.as("rate_limiter_worker");

async function borrow(appId: string, tokens: number, lender: string | null = null, at = moment(0)) {
  const [borrowing] = await owner`
    select * from rate_limiter_internal.borrow_tokens_at(
      ${at}, ${appId}, 'iops_l2', ${tokens}, '60 s', ${lender}
    )
  `;
  return { ...borrowing } as Record<string, string>;
}

async function repay(appId: string, borrowingId = "", at = moment(0)) {
  const [repayment] = await owner`
    select * from rate_limiter_internal.repay_borrowing_at(${at}, ${appId}, ${borrowingId})
  `;
  return { ...repayment };
}

async function adjust(appId: string, change: number, at = moment(0)) {
  await owner`
    select rate_limiter_internal.adjust_tokens_at(${at}, ${appId}, 'iops_l2', ${change}, 'test')
  `;
}

/** Leaves it one token in debt. */
async function indebt(appId: string) {
  const tokens = Number(await tokensAt(database.sql, moment(0), appId));
  await owner`
    select rate_limiter_internal.charge_owed_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, ${tokens + 1}, 0
    )
  `;
}

async function collect(at: string, sql: Sql = worker, batch = 200): Promise<number> {
  const [row] = await sql`
    select rate_limiter_private.collect_borrowings(${at}, ${batch}) as count
  `;
  return row?.count;
}

async function stateOf(borrowingId = "") {
  const [row] = await database.sql`
    select status, repaid_tokens, repayment_tokens
    from rate_limiter.token_borrowing where borrowing_id = ${borrowingId}
  `;
  return { ...row };
}

/** A place for applications that may lend to each other. */
async function sharedFolder() {
  return { tenantId: await makeTenant(database.sql), clusterId: await makeCluster(database.sql) };
}

// Nothing is left for the job of the next test.
afterEach(async () => {
  await database.sql`
    update rate_limiter.token_borrowing set status = 'cancelled' where status = 'active'
  `;
});

/** So slow that nothing flows in between two calls of a test, if not asked for. */
const quota = { iops: 1, burst: 100, reserve: 20 };

describe("a borrowing", () => {
  test("from the own future lifts the bucket, up to the ratio", async () => {
    const appId = await limitedApplication(database.sql, quota);
    expect(await borrow(appId, 50)).toMatchObject({
      tokens: "150.000000",
      repayment_tokens: "55.000000",
    });
    await expectSqlState(borrow(appId, 0.000001), "QS409", "borrow limit");
    // Above its capacity it neither gains nor loses.
    expect(await tokensAt(database.sql, moment(30), appId)).toBe("150.000000");
  });

  test("is kept where a quota that was to follow is cancelled", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await borrow(appId, 50);
    await publish(database.sql, { appId }, { ...quota, burst: 200 }, moment(1000));
    await database.sql`
      select rate_limiter_internal.cancel_quota_at(${moment(1)}, c, 'test')
      from rate_limiter.quota_configs as c
      where c.app_id = ${appId} and c.valid_from = ${moment(1000)}
    `;
    expect(await tokensAt(database.sql, moment(2000), appId)).toBe("150.000000");
    await adjust(appId, -1);
    expect(await tokensAt(database.sql, moment(2), appId)).toBe("149.000000");
  });

  test("lasts at least a moment, however its duration is spelled", async () => {
    const appId = await limitedApplication(database.sql, quota);
    for (const duration of ["-1 mon 30 days 1 minute", "1 mon -31 days"]) {
      await expectSqlState(
        database.sql`
          select rate_limiter_internal.borrow_tokens_at(
            ${moment(0)}, ${appId}, 'iops_l2', 1, ${duration}
          )
        `,
        "QS422",
        "duration is not positive",
      );
    }
  });

  test("rounds its interest up to a millionth", async () => {
    const appId = await limitedApplication(database.sql, quota);
    expect(await borrow(appId, 0.000001)).toMatchObject({ repayment_tokens: "0.000002" });
  });

  test("is limited by what is owed, however little the bucket holds", async () => {
    const appId = await limitedApplication(database.sql, quota);
    await adjust(appId, -100);
    await borrow(appId, 100);
    await adjust(appId, -100);
    // 110 are owed of at most 150: 36.363636 come to 40 with interest, a millionth more does not.
    await expectSqlState(borrow(appId, 36.363637), "QS409", "borrow limit");
    expect(await borrow(appId, 36.363636)).toMatchObject({
      tokens: "36.363636",
      repayment_tokens: "40.000000",
    });
    await adjust(appId, -36.363636);
    await expectSqlState(borrow(appId, 0.000001), "QS409", "borrow limit");
  });

  test("is limited by the debt limit, interest included", async () => {
    await setSetting(database.sql, "max_debt_seconds", 11);
    const appId = await limitedApplication(database.sql, quota);
    await adjust(appId, -100);
    await expectSqlState(borrow(appId, 10.000001), "QS409", "borrow limit");
    expect(await borrow(appId, 10)).toMatchObject({ repayment_tokens: "11.000000" });
    await setSetting(database.sql, "max_debt_seconds", 3600);
  });

  test("from a sibling moves tokens, never out of its reserve", async () => {
    const place = await sharedFolder();
    const borrower = await limitedApplication(database.sql, { ...quota, iops: 2 }, place);
    const lender = await limitedApplication(database.sql, quota, place);
    await adjust(borrower, -100);
    await borrow(borrower, 80, lender);
    expect(await tokensAt(database.sql, moment(0), lender)).toBe("20.000000");
    await expectSqlState(borrow(borrower, 0.000001, lender), "QS409", "lender short");
  });

  test("comes only from a sibling: another application of the tenant on the cluster", async () => {
    const place = await sharedFolder();
    const appId = await limitedApplication(database.sql, quota, place);
    await publish(database.sql, { clusterId: place.clusterId }, quota);
    await adjust(appId, -50);
    const others = await Promise.all([
      limitedApplication(database.sql, quota, {
        ...place,
        tenantId: await makeTenant(database.sql),
      }),
      limitedApplication(database.sql, quota, {
        ...place,
        clusterId: await makeCluster(database.sql),
      }),
      limitedApplication(database.sql, { bytes: 100 }, place),
    ]);
    const before = await dataPlane(database.sql);
    for (const lender of [appId, place.clusterId, ...others]) {
      await expectSqlState(borrow(appId, 1, lender), "QS422", "lender not allowed");
    }
    expect(await dataPlane(database.sql)).toEqual(before);
  });

  test("is refused for its debt first, then duration, lender, limit and the lender", async () => {
    const place = await sharedFolder();
    const appId = await limitedApplication(database.sql, quota, place);
    const lender = await limitedApplication(database.sql, quota, place);
    const ask = (tokens: number, duration: string, from: string) =>
      database.sql`
        select rate_limiter_internal.borrow_tokens_at(
          ${moment(0)}, ${appId}, 'iops_l2', ${tokens}, ${duration}, ${from}
        )
      `;
    await expectSqlState(ask(151, "1 year", appId), "QS422", "duration too long");
    await expectSqlState(ask(151, "60 s", appId), "QS422", "lender not allowed");
    await expectSqlState(ask(51, "60 s", lender), "QS409", "borrow limit");
    await adjust(appId, -50);
    await expectSqlState(ask(81, "60 s", lender), "QS409", "lender short");
    await indebt(appId);
    await expectSqlState(ask(151, "1 year", appId), "QS409", "borrower in debt");
  });
});

describe("repaying", () => {
  test("early takes principal and interest, and credits the lender up to its capacity", async () => {
    const place = await sharedFolder();
    const borrower = await limitedApplication(database.sql, quota, place);
    const lender = await limitedApplication(database.sql, quota, place);
    const { borrowing_id } = await borrow(borrower, 40, lender);
    expect(await repay(borrower, borrowing_id)).toEqual({
      paid: "44.000000",
      owed: "0.000000",
      status: "repaid",
    });
    // 60 were left: 4 of the 44 do not fit.
    expect(await tokensAt(database.sql, moment(0), lender)).toBe("100.000000");
    expect(await tokensAt(database.sql, moment(0), borrower)).toBe("96.000000");
    const repaid = await dataPlane(database.sql);
    expect(await repay(borrower, borrowing_id)).toMatchObject({ paid: "0", owed: "0" });
    expect(await dataPlane(database.sql)).toEqual(repaid);
  });

  test("takes what is there, and goes on", async () => {
    const appId = await limitedApplication(database.sql, quota);
    const { borrowing_id } = await borrow(appId, 50);
    await adjust(appId, -140);
    expect(await repay(appId, borrowing_id)).toMatchObject({ paid: "10.000000", status: "active" });
    expect(await repay(appId, borrowing_id, moment(45))).toMatchObject({
      paid: "45.000000",
      status: "repaid",
    });
  });
});

describe("the collecting job", () => {
  test("takes what is there when a borrowing is due, and all of it after that", async () => {
    const place = await sharedFolder();
    const appId = await limitedApplication(database.sql, quota, place);
    const lender = await limitedApplication(database.sql, quota, place);
    const { borrowing_id } = await borrow(appId, 50, lender);
    await adjust(appId, -150, moment(50));
    await adjust(lender, -100, moment(50));
    expect(await collect("2020-01-01T00:00:59.999999Z")).toBe(0);
    expect(await collect(moment(60))).toBe(1);
    expect(await stateOf(borrowing_id)).toMatchObject({
      status: "active",
      repaid_tokens: "10.000000",
    });

    await adjust(appId, -59, moment(119));
    await adjust(lender, -79, moment(119));
    expect(await collect(moment(119))).toBe(0);
    expect(await collect(moment(120))).toBe(1);
    // It owed 45 and held 1: the lender has all of it, and the borrower is in debt.
    expect(await stateOf(borrowing_id)).toEqual({
      status: "defaulted",
      repaid_tokens: "55.000000",
      repayment_tokens: "55.000000",
    });
    expect(await tokensAt(database.sql, moment(120), appId)).toBe("-44.000000");
    expect(await tokensAt(database.sql, moment(120), lender)).toBe("46.000000");
    expect(await repay(appId, borrowing_id, moment(121))).toMatchObject({
      paid: "0",
      owed: "0",
      status: "defaulted",
    });
    await expectSqlState(borrow(appId, 1, null, moment(163)), "QS409", "borrower in debt");
    expect(await borrow(appId, 1, null, moment(164))).toMatchObject({ tokens: "1.000000" });
  });

  test("calls one that was paid in full late repaid", async () => {
    const appId = await limitedApplication(database.sql, quota);
    const { borrowing_id } = await borrow(appId, 50);
    expect(await collect(moment(1000))).toBe(1);
    expect(await stateOf(borrowing_id)).toMatchObject({ status: "repaid" });
    expect(await tokensAt(database.sql, moment(1000), appId)).toBe("95.000000");
  });

  test("is lenient for the time of grace", async () => {
    await setSetting(database.sql, "borrow_grace_seconds", 90);
    const appId = await limitedApplication(database.sql, { ...quota, iops: 1 });
    const { borrowing_id } = await borrow(appId, 50, null, moment(1000));
    await adjust(appId, -150, moment(1059));
    await collect(moment(1060));
    await adjust(appId, -59, moment(1119));
    await collect(moment(1120));
    await adjust(appId, -10, moment(1130));
    await adjust(appId, -20, moment(1150));
    await collect(moment(1150));
    await repay(appId, borrowing_id, moment(1150));
    expect(await stateOf(borrowing_id)).toMatchObject({
      status: "active",
      repaid_tokens: "2.000000",
    });
    expect(await repay(appId, borrowing_id, "2020-01-01T00:19:10.000001Z")).toEqual({
      paid: "53.000000",
      owed: "0.000000",
      status: "defaulted",
    });
    expect(await tokensAt(database.sql, moment(1150), appId)).toBe("-52.999999");
    await setSetting(database.sql, "borrow_grace_seconds", 0);
  });

  test("leaves alone what was written off", async () => {
    const appId = await limitedApplication(database.sql, quota);
    const { borrowing_id } = await borrow(appId, 50);
    await owner`
      select rate_limiter_internal.cancel_borrowing_at(
        ${moment(1)}, ${appId}, ${borrowing_id ?? null}, 'forgiven'
      )
    `;
    expect(await collect(moment(60))).toBe(0);
    expect(await tokensAt(database.sql, moment(60), appId)).toBe("150.000000");
    await expectSqlState(
      owner`
        select rate_limiter_internal.cancel_borrowing_at(
          ${moment(2)}, ${appId}, ${borrowing_id ?? null}, 'again'
        )
      `,
      "QS409",
      "borrowing is closed",
    );
  });

  test("passes over what another worker has at hand", async () => {
    const apps = [
      await limitedApplication(database.sql, quota),
      await limitedApplication(database.sql, quota),
    ];
    for (const appId of apps) await borrow(appId, 10);
    const [one, two] = [
      await database.session("one", "rate_limiter_worker"),
      await database.session("two", "rate_limiter_worker"),
    ];
    await one.sql`begin`;
    expect(await collect(moment(60), one.sql, 1)).toBe(1);
    expect(await collect(moment(60), two.sql, 10)).toBe(1);
    await one.sql`commit`;
    expect(await collect(moment(60))).toBe(0);
  });

  test("drains thousands that are overdue, by several workers side by side", async () => {
    const place = await sharedFolder();
    const lender = await limitedApplication(database.sql, { iops: 1, burst: 100_000 }, place);
    await adjust(lender, -50_000);
    const apps = await Promise.all(
      Array.from({ length: 20 }, () =>
        limitedApplication(database.sql, { iops: 1, burst: 1000 }, place),
      ),
    );
    await database.sql`
      insert into rate_limiter.token_borrowing (
        shard_key, owner_id, bucket_type, lender_owner_id, lender_bucket_type, tokens_borrowed,
        repayment_tokens, interest_rate, borrowed_at, due_at, collect_at
      )
      select
        rate_limiter_internal.shard_key_of(a.app_id), a.app_id, 'iops_l2', l.owner_id,
        l.bucket_type, 1, 1.1, 0.1, ${moment(0)}, ${moment(60)}, ${moment(60)}
      from unnest(${apps}::uuid[]) as a (app_id)
      cross join generate_series(1, 100) as i
      left join rate_limiter.token_buckets as l on l.owner_id = ${lender} and i % 2 = 0
    `;
    const drained = await Promise.all(
      ["one", "two", "three"].map(async (name) => {
        const { sql } = await database.session(name, "rate_limiter_worker");
        let collected = 0;
        for (let count = 200; count > 0; collected += count) count = await collect(moment(60), sql);
        return collected;
      }),
    );
    expect(drained.reduce((sum, count) => sum + count, 0)).toBe(2000);
    const [row] = await database.sql`
      select count(*) filter (where status <> 'repaid') as left_over,
        sum(repaid_tokens) as repaid
      from rate_limiter.token_borrowing where owner_id = any(${apps}::uuid[])
    `;
    expect({ ...row }).toEqual({ left_over: "0", repaid: "2200.000000" });
    const [{ credited } = {}] = await database.sql`
      select sum(tokens_change) as credited from rate_limiter.token_transactions
      where owner_id = ${lender} and transaction_type = 'repay'
    `;
    expect(credited).toBe("1100.000000");
  });
});

test("an adjustment is in the ledger with its reason", async () => {
  const appId = await limitedApplication(database.sql, quota);
  await adjust(appId, -30.5);
  await adjust(appId, 10.25);
  expect(await tokensAt(database.sql, moment(0), appId)).toBe("79.750000");
  const rows = await database.sql`
    select tokens_change, balance_after, metadata ->> 'reason' as reason
    from rate_limiter.token_transactions
    where owner_id = ${appId} and transaction_type = 'adjust' and metadata ? 'reason'
    order by seq
  `;
  expect(rows.map((row) => ({ ...row }))).toEqual([
    { tokens_change: "-30.500000", balance_after: "69.500000", reason: "test" },
    { tokens_change: "10.250000", balance_after: "79.750000", reason: "test" },
  ]);
});

test("the ledger explains every borrowing", async () => {
  expect(await ledgerGaps(database.sql)).toEqual([]);
});
