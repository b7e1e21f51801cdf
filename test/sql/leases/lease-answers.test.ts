import { describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import {
  limitedApplication,
  makeApplication,
  makeCluster,
  moment,
  publish,
  setSetting,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");
await setSetting(database.sql, "lease_max_share", 1);
await setSetting(database.sql, "lease_common_share", 1);

async function lease(appId: string, at: string, tokens: number, bytes = 0) {
  const [grant] = await owner`
    select * from rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${tokens}, ${bytes}, '10 s'
    )
  `;
  return { ...grant };
}

test("an application that needs a quota and has none is limited, to nothing, for ever", async () => {
  const appId = await makeApplication(database.sql);
  await database.sql`
    update rate_limiter.app_facts set needs_iops_quota = true where app_id = ${appId}
  `;
  expect(await lease(appId, moment(0), 10)).toMatchObject({
    lease_id: null,
    tokens: "0",
    is_limited_tokens: true,
    is_limited_bytes: false,
    retry_after_ms: null,
  });
  expect(await lease(appId, moment(0), 0)).toMatchObject({ is_limited_tokens: true });
});

test("a bucket that never offers enough hides none of the others", async () => {
  const clusterId = await makeCluster(database.sql);
  await publish(database.sql, { clusterId }, { iops: 10, burst: 10 });
  // Never more than a token, and a tenth of a second of its refill is more.
  const small = await limitedApplication(
    database.sql,
    { iops: 20, burst: 20, reserve: 19 },
    { clusterId },
  );
  const other = await limitedApplication(database.sql, { iops: 10 }, { clusterId });
  expect(await lease(other, moment(0), 10)).toMatchObject({ tokens: "10" });
  expect(await lease(small, moment(0), 5)).toMatchObject({ lease_id: null, retry_after_ms: null });
  expect(await tokensAt(database.sql, moment(0), clusterId, "iops_l1")).toBe("0.000000");
});

test("a quota that is edited where it stands counts from then on", async () => {
  const appId = await limitedApplication(database.sql, { iops: 100_000 });
  const consume = async () => {
    const [decision] = await database.as("rate_limiter_app")`
      select d.allowed, d.reason from rate_limiter.consume(${appId}, 'write_large') as d
    `;
    return { ...decision };
  };
  expect(await consume()).toMatchObject({ allowed: true });
  await database.sql`
    update rate_limiter.iops_quotas set iops_limit = 9, iops_burst = 9, refill_rate = 9
    where config_id in (
      select c.config_id from rate_limiter.quota_configs as c where c.app_id = ${appId}
    )
  `;
  expect(await consume()).toMatchObject({ allowed: false, reason: "exceeds_capacity" });
});

describe.each([10, 11])("where min_reserve leaves nothing: %i of a capacity of 10", (reserve) => {
  const never = { lease_id: null, retry_after_ms: null };

  async function renew(appId: string, at: string, leaseId: string | null, owed = 0) {
    const [grant] = await owner`
      select * from rate_limiter_internal.renew_lease_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${leaseId}, 0, 0, 5, 0,
        '10 s', owed_tokens => ${owed}
      )
    `;
    return { ...grant };
  }

  async function exchange(appId: string, leaseId: string | null) {
    const renewal = { app_id: appId, tokens: "5", bytes: "0" };
    const spent = { lease_id: leaseId, spent_tokens: "0", spent_bytes: "0" };
    const [row] = await database.as("rate_limiter_app")`
      select rate_limiter.exchange_leases(
        ${JSON.stringify([leaseId === null ? renewal : { ...renewal, ...spent }])}::text::jsonb,
        '[]', '[]'
      ) as answers
    `;
    return row?.answers;
  }

  test.each(["iops_l2", "iops_l1"])("of %s, no answer names a wait", async (bucketType) => {
    const clusterId = await makeCluster(database.sql);
    const place = { clusterId };
    const isLayer1 = bucketType === "iops_l1";
    const appId = await limitedApplication(database.sql, { iops: isLayer1 ? 20 : 10 }, place);
    if (isLayer1) await publish(database.sql, { clusterId }, { iops: 10 });
    const held = await lease(appId, moment(0), 5);
    expect(held).toMatchObject({ tokens: "5" });
    await publish(
      database.sql,
      isLayer1 ? { clusterId } : { appId },
      { iops: 10, reserve },
      moment(1),
    );
    expect(await lease(appId, moment(2), 5)).toMatchObject(never);
    // Of an open lease, of one that is over, of one that is over and owes, and of an unknown one.
    expect(await renew(appId, moment(2), held.lease_id)).toMatchObject(never);
    expect(await renew(appId, moment(3), held.lease_id)).toMatchObject(never);
    expect(await renew(appId, moment(4), held.lease_id, 3)).toMatchObject(never);
    expect(await renew(appId, moment(5), crypto.randomUUID())).toMatchObject(never);
    for (const leaseId of [null, held.lease_id]) {
      const [answer] = await exchange(appId, leaseId);
      expect(Number(answer.tokens)).toBe(0);
      expect(answer).not.toHaveProperty("retry_after_ms");
    }
  });

  test("of a layer 1 that is shared, no answer names a wait", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { iops: 10, reserve });
    const siblings = [];
    for (let index = 0; index < 2; index += 1) {
      siblings.push(await limitedApplication(database.sql, { iops: 20 }, { clusterId }));
    }
    for (const second of [0, 1, 2]) {
      for (const appId of siblings) {
        expect(await lease(appId, moment(second), 5)).toMatchObject(never);
        expect(await renew(appId, moment(second), crypto.randomUUID())).toMatchObject(never);
      }
    }
  });
});
