import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  asUser,
  cancel,
  makeApplication,
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
    from rate_limiter_internal.consume_at(${at.toISOString()}, ${appId}, 'head', ${size}) as d
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

async function save(appId: string, amount: number) {
  await sql`
    select rate_limiter_internal.adjust_tokens_at(null, ${appId}, 'iops_l2', ${amount}, 'test')
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
