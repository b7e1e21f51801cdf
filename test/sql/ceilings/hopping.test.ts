import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  asUser,
  cancel,
  makeApplication,
  makeCluster,
  makeOperator,
  makeTenant,
  publish,
  setCeiling,
} from "../control-plane.ts";
import { ledgerGaps } from "../world.ts";

/** A tenant that passes its quota on from one application to the next gains nothing by it. */
const database = await createDatabase();
const { sql } = database;
const operator = await makeOperator(sql);
const hour = 3_600_000;

let tenantId = "";

beforeEach(async () => {
  tenantId = await makeTenant(sql);
  await asUser(database, operator, (caller) =>
    setCeiling(caller, {
      tenantId,
      iops: [500, 1_000, 5_000],
      bandwidth: [1_000, 2_000, 20_000],
    }),
  );
});

const makeOne = () => makeApplication(sql, { tenantId });

async function consume(appId: string, size: number, at: Date): Promise<[boolean, string | null]> {
  const [decision] = await database.as("rate_limiter_owner")`
    select d.allowed, d.reason
    from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at.toISOString()}, ${appId}, 'head', ${size}
    ) as d
  `;
  return [decision?.allowed, decision?.reason];
}

async function tokens(appId: string, bucketType = "iops_l2"): Promise<number> {
  const [row] = await sql`
    select (s.bucket).current_tokens::float8 as tokens
    from rate_limiter.token_buckets as b
    cross join lateral rate_limiter_internal.bucket_at(clock_timestamp(), b) as s
    where b.owner_id = ${appId} and b.bucket_type = ${bucketType}
  `;
  return row?.tokens;
}

/** Uses bytes beyond what the bucket holds, as a download does that grew. */
async function indebt(appId: string, bytes: number) {
  await sql`select rate_limiter.charge_owed(${appId}, 0, ${bytes}, 'a download')`;
}

async function forgive(appId: string) {
  const debt = Math.ceil(-(await tokens(appId, "bandwidth_l2")));
  await sql`
    select rate_limiter_internal.adjust_tokens_at(null, ${appId}, 'bandwidth_l2', ${debt}, 'test')
  `;
}

/** Has it hold this much, or what has flowed in meanwhile where that is more. */
async function save(appId: string, amount: number) {
  await sql`
    select rate_limiter_internal.adjust_tokens_at(
      null, ${appId}, 'iops_l2', ceil(${amount}::numeric - (s.bucket).current_tokens), 'test'
    )
    from rate_limiter.token_buckets as b
    cross join lateral rate_limiter_internal.bucket_at(clock_timestamp(), b) as s
    where b.owner_id = ${appId}
      and b.bucket_type = 'iops_l2'
      and (s.bucket).current_tokens < ${amount}::numeric
  `;
}

describe("a quota under a ceiling begins with nothing", () => {
  test("in a new application", async () => {
    const appId = await makeOne();
    await publish(sql, { appId, iops: { limit: 500, burst: 1_000, seconds: 10 } });
    // What has flowed in since.
    expect(await tokens(appId)).toBeLessThan(2_500);
  });

  test("in one that saved tokens up under an earlier quota", async () => {
    const appId = await makeOne();
    const config = await publish(sql, { appId, iops: { limit: 1, burst: 1_000 } });
    await save(appId, 900);
    expect(await tokens(appId)).toBeGreaterThanOrEqual(900);
    await cancel(sql, config);
    await publish(sql, { appId, iops: { limit: 1, burst: 1_000 } });
    expect(await tokens(appId)).toBeLessThan(100);
    await consume(appId, 0, new Date(Date.now() + hour));
    expect(await ledgerGaps(sql)).toEqual([]);
  });

  test("and a change of a quota in force keeps what there is", async () => {
    const appId = await makeOne();
    await publish(sql, { appId, iops: { limit: 1, burst: 1_000 } });
    await save(appId, 900);
    await publish(sql, { appId, iops: { limit: 2, burst: 1_000 } });
    expect(await tokens(appId)).toBeGreaterThanOrEqual(900);
  });

  test("and without a ceiling it begins full", async () => {
    const appId = await makeApplication(sql, { tenantId: await makeTenant(sql) });
    await publish(sql, { appId, iops: { limit: 1, burst: 5_000 } });
    expect(await tokens(appId)).toBe(5_000);
  });
});

describe("an application in debt holds its part of the ceiling", () => {
  const all = { limit: 1_000, burst: 2_000 };

  test.each(["cancelled", "lowered", "deactivated"])("when its quota is %s", async (how) => {
    const [one, other] = [await makeOne(), await makeOne()];
    const config = await publish(sql, { appId: one, bandwidth: all });
    await indebt(one, 1_000_000);
    if (how === "cancelled") await cancel(sql, config);
    if (how === "lowered") await publish(sql, { appId: one, bandwidth: 1 });
    if (how === "deactivated") {
      await sql`update rate_limiter.applications set is_active = false where app_id = ${one}`;
    }
    await expectSqlState(
      publish(sql, { appId: other, bandwidth: all }),
      "QS403",
      "tenant ceiling is exceeded",
    );
    if (how === "cancelled") {
      // Nothing pays a debt without a quota, so it comes back, is paid, and goes.
      const again = await publish(sql, { appId: one, bandwidth: all });
      await forgive(one);
      await cancel(sql, again);
    } else {
      await forgive(one);
    }
    await publish(sql, { appId: other, bandwidth: how === "lowered" ? 999 : all });
  });

  test("and may have it back itself", async () => {
    const appId = await makeOne();
    const config = await publish(sql, { appId, bandwidth: all });
    await indebt(appId, 1_000_000);
    await cancel(sql, config);
    await publish(sql, { appId, bandwidth: all });
  });
});

describe("an application that borrowed holds its part of the ceiling", () => {
  const all = { limit: 500, burst: 1_000 };
  const hours = (count: number) => new Date(Date.now() + count * hour).toISOString();

  async function borrow(appId: string): Promise<string> {
    const [row] = await sql`
      select borrowing_id as id
      from rate_limiter_internal.borrow_tokens_at(
        null, ${appId}, 'iops_l2', 100, interval '1 hour'
      )
    `;
    return row?.id;
  }

  async function repay(appId: string, id: string, at: string | null = null): Promise<string> {
    const [row] = await sql`
      select status from rate_limiter_internal.repay_borrowing_at(${at}, ${appId}, ${id})
    `;
    return row?.status;
  }

  async function used(at: string): Promise<number> {
    const [row] = await sql`
      select max(u.limits)::float8 as limits
      from rate_limiter_internal.ceiling_use(${at}, ${tenantId}) as u
      where not u.is_bandwidth
    `;
    return row?.limits;
  }

  const exceeded = (work: Promise<unknown>) =>
    expectSqlState(work, "QS403", "tenant ceiling is exceeded");

  test.each(["cancelled", "lowered", "deactivated"])("when its quota is %s", async (how) => {
    const [one, other] = [await makeOne(), await makeOne()];
    const config = await publish(sql, { appId: one, iops: all });
    await save(one, 500);
    const loan = await borrow(one);
    if (how === "cancelled") await cancel(sql, config);
    if (how === "lowered") await publish(sql, { appId: one, iops: 1 });
    if (how === "deactivated") {
      await sql`update rate_limiter.applications set is_active = false where app_id = ${one}`;
    }
    const wanted = how === "lowered" ? 499 : 500;
    await exceeded(publish(sql, { appId: other, iops: wanted }));
    // Lowered, it keeps of its tokens no more than the new quota's bucket takes.
    if (how === "lowered") {
      await sql`select rate_limiter_internal.cancel_borrowing_at(now(), ${one}, ${loan}, 'test')`;
    } else {
      expect(await repay(one, loan)).toBe("repaid");
    }
    await publish(sql, { appId: other, iops: wanted });
  });

  test("and goes on to hold it when the loan is in default and nothing pays it", async () => {
    const one = await makeOne();
    const config = await publish(sql, { appId: one, iops: { limit: 1, burst: 200 } });
    const loan = await borrow(one);
    await cancel(sql, config);
    expect(await repay(one, loan, hours(2))).toBe("defaulted");
    expect(await used(hours(48))).toBe(1);
    // So it comes back, is paid, and goes.
    const again = await publish(sql, { appId: one, iops: { limit: 1, burst: 200 } });
    await save(one, 0);
    await cancel(sql, again);
    expect(await used(hours(48))).toBeNull();
  });

  test("so nothing that is scheduled gives it away", async () => {
    const [one, other] = [await makeOne(), await makeOne()];
    await publish(sql, { appId: one, iops: all });
    await borrow(one);
    await publish(sql, { appId: one, iops: 1, from: hours(1) });
    await exceeded(publish(sql, { appId: other, iops: 499, from: hours(1) }));
  });

  test("and it does not borrow what another one is to have", async () => {
    const [one, other] = [await makeOne(), await makeOne()];
    await publish(sql, { appId: one, iops: all, to: hours(1) });
    await publish(sql, { appId: other, iops: all, from: hours(1) });
    await exceeded(borrow(one));
  });

  test("but nothing that it had before it borrowed", async () => {
    const [one, other] = [await makeOne(), await makeOne()];
    await publish(sql, { appId: one, iops: all });
    await publish(sql, { appId: one, iops: { limit: 250, burst: 500 } });
    await publish(sql, { appId: other, iops: { limit: 250, burst: 500 } });
    await borrow(one);
    await borrow(other);
  });

  test("and what a default that is not in force would give does not count", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { defaultClusterId: clusterId, iops: 500 });
    const [one, other] = [await makeApplication(sql, { tenantId, clusterId }), await makeOne()];
    await publish(sql, { appId: one, iops: { limit: 1, burst: 200 } });
    await borrow(one);
    await publish(sql, { appId: other, iops: 499 });
  });
});

test("what is too much on one cluster refuses nothing on another", async () => {
  const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
  const tenant = await makeTenant(sql);
  for (const clusterId of [north, south]) {
    await asUser(database, operator, (caller) =>
      setCeiling(caller, { tenantId: tenant, clusterId, iops: [10, 10, 10] }),
    );
  }
  const inNorth = await makeApplication(sql, { tenantId: tenant, clusterId: north });
  await publish(sql, { appId: inNorth, iops: 10 });
  await sql`update rate_limiter.tenant_ceilings set iops_limit = 5 where cluster_id = ${north}`;
  const inSouth = await makeApplication(sql, { tenantId: tenant, clusterId: south });
  await publish(sql, { appId: inSouth, iops: 10 });
  await expectSqlState(
    publish(sql, { appId: inNorth, iops: 6 }),
    "QS403",
    "tenant ceiling is exceeded",
  );
});

test("a quota that ends admits no more debt under a ceiling than it pays", async () => {
  const appId = await makeOne();
  const start = Date.now() + hour;
  const at = (seconds: number) => new Date(start + seconds * 1_000);
  await publish(sql, {
    appId,
    iops: 500,
    bandwidth: { limit: 1_000, burst: 2_000 },
    from: at(0).toISOString(),
    to: at(100).toISOString(),
  });
  // The bucket is full by then; ninety seconds are left, and the capacity.
  expect(await consume(appId, 2_000 + 90_001, at(10))).toEqual([false, "exceeds_capacity"]);
  expect(await consume(appId, 2_000 + 90_000, at(10))).toEqual([true, null]);
});
