import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { limitedApplication, makeApplication, makeCluster, publish } from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const gateway = database.as("rate_limiter_app");

const calls: [string, (appId: string) => PromiseLike<unknown>][] = [
  ["consume", (appId) => gateway`select rate_limiter.consume(${appId}, 'read_small', 100)`],
  [
    "consume under a reference",
    (appId) => gateway`select rate_limiter.consume(${appId}, 'read_small', 100, 'r')`,
  ],
  ["check_limit", (appId) => gateway`select rate_limiter.check_limit(${appId}, 'read_small', 100)`],
  [
    "consume_batch",
    (appId) => gateway`
      select rate_limiter.consume_batch(${appId}, array['read_small'], array[100])
    `,
  ],
  ["lease_tokens", (appId) => gateway`select rate_limiter.lease_tokens(${appId}, 10, 100)`],
  ["charge_owed", (appId) => gateway`select rate_limiter.charge_owed(${appId}, 10, 100, 'k')`],
  [
    "charge_owed_many",
    (appId) => gateway`
      select rate_limiter.charge_owed_many(
        array[${appId}]::uuid[], '{10}', '{100}', array['k']::text[]
      )
    `,
  ],
  [
    "renew_lease",
    (appId) => gateway`
      select rate_limiter.renew_lease(${appId}, gen_random_uuid(), 0, 0, 10, 100)
    `,
  ],
];

async function application(): Promise<{ appId: string; clusterId: string }> {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: 1e6, bytes: 1e6 });
  return {
    clusterId,
    appId: await limitedApplication(sql, { iops: 1000, bytes: 1e6 }, { clusterId }),
  };
}

const loseBucket = (ownerId: string, bucketType: string) => sql`
  delete from rate_limiter.token_buckets
  where owner_id = ${ownerId} and bucket_type = ${bucketType}
`;

describe.each(["iops_l2", "bandwidth_l2", "iops_l1", "bandwidth_l1"])(
  "an application whose bucket %s is missing",
  (bucketType) => {
    test.each(calls)("does not decide without a limit: %s raises", async (_, call) => {
      const { appId, clusterId } = await application();
      await loseBucket(bucketType.endsWith("2") ? appId : clusterId, bucketType);
      await expectSqlState(call(appId), "QS409", "bucket is missing");
      const [row] = await sql`
        select count(*)::integer as rows
        from rate_limiter.token_transactions
        where owner_id in (${appId}, ${clusterId})
      `;
      expect(row?.rows).toBe(0);
    });

    test("is left to consume() by consume_many", async () => {
      const { appId, clusterId } = await application();
      await loseBucket(bucketType.endsWith("2") ? appId : clusterId, bucketType);
      const [row] = await gateway`
        select allowed
        from rate_limiter.consume_many(array[${appId}]::uuid[], array['read_small'], array[100])
      `;
      expect(row?.allowed).toBeNull();
    });
  },
);

test("an exchange charges other applications, and says to charge the one alone", async () => {
  const lacking = await limitedApplication(sql, { iops: 1000 });
  const whole = await limitedApplication(sql, { iops: 1000 });
  await loseBucket(lacking, "iops_l2");
  const charges = [lacking, whole].map((appId) => ({
    app_id: appId,
    tokens: "10",
    bytes: "0",
    key: "k",
  }));
  const [row] = await gateway`
    select rate_limiter.exchange_leases('[]', '[]', ${sql.json(charges)}) as answers
  `;
  expect(row?.answers).toEqual([{ app_id: lacking, key: "k", is_busy: true }]);
  const charged = await sql`
    select owner_id, tokens_change::float8 as change
    from rate_limiter.token_transactions
    where owner_id in (${lacking}, ${whole}) and transaction_type = 'owed'
  `;
  expect([...charged]).toEqual([{ owner_id: whole, change: -10 }]);
});

test("a settlement charges no bucket that is gone", async () => {
  const appId = await limitedApplication(sql, { iops: 1000, bytes: 1e6 });
  await gateway`select rate_limiter.consume(${appId}, 'read_small', 100, 'r')`;
  await loseBucket(appId, "bandwidth_l2");
  await expectSqlState(
    gateway`select rate_limiter.settle(${appId}, 'r', 5000)`,
    "QS409",
    "bucket is missing",
  );
});

test("an application without a bandwidth quota raises where its only bucket is missing", async () => {
  const appId = await limitedApplication(sql, { iops: 1000 });
  await loseBucket(appId, "iops_l2");
  await expectSqlState(
    gateway`select rate_limiter.consume(${appId}, 'head')`,
    "QS409",
    "bucket is missing",
  );
});

test("an exchange of leases answers for the others where one application misses a bucket", async () => {
  const [lost, sound] = [(await application()).appId, (await application()).appId];
  await loseBucket(lost, "iops_l2");
  const renewals = [lost, sound].map((app_id) => ({ app_id, tokens: 10, bytes: 100 }));
  const [row] = await gateway`
    select rate_limiter.exchange_leases(
      ${JSON.stringify(renewals)}::text::jsonb, '[]'::jsonb, '[]'::jsonb
    ) as answers
  `;
  expect(row?.answers).toEqual([
    { app_id: lost, code: "QS409", message: "bucket is missing" },
    expect.objectContaining({ app_id: sound, tokens: "10" }),
  ]);
});

test("the quota that is published again brings the bucket back", async () => {
  const appId = await limitedApplication(sql, { iops: 1000 });
  await loseBucket(appId, "iops_l2");
  await publish(sql, { appId }, { iops: 1000 }, new Date().toISOString());
  const [row] = await gateway`select (rate_limiter.consume(${appId}, 'head')).allowed`;
  expect(row?.allowed).toBe(true);
});

test("an application without quotas has no limit, and misses nothing", async () => {
  const appId = await makeApplication(sql);
  const [row] = await gateway`select (rate_limiter.consume(${appId}, 'head')).allowed`;
  expect(row?.allowed).toBe(true);
});

test("an application that was deleted meanwhile is unknown", async () => {
  const appId = await limitedApplication(sql, { iops: 1000 });
  await sql`delete from rate_limiter.app_facts where app_id = ${appId}`;
  await expectSqlState(
    gateway`select rate_limiter.consume(${appId}, 'head')`,
    "QS404",
    "unknown application",
  );
});
