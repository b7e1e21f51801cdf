import { describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeCluster,
  moment,
  publish,
  setSetting,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const owner = database.as("rate_limiter_owner");
await setSetting(sql, "layer1_prefetch_ms", 0);

const quota = { iops: 1, burst: 100 };
const layer1 = { iops: 1, burst: 1000 };

async function cancel(appId: string, at: string): Promise<void> {
  await sql`
    select rate_limiter_internal.cancel_quota_at(${at}, c, 'test')
    from rate_limiter.quota_configs as c
    where c.app_id = ${appId} and c.is_active and (c.valid_to is null or c.valid_to > ${at})
  `;
}

async function leased(appId: string, tokens: number): Promise<string> {
  const [lease] = await owner`
    select lease_id from rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, ${tokens}, 0, '1 hour'
    )
  `;
  return lease?.lease_id;
}

/** Ends a lease of which 10 tokens are spent; what is owed as well. */
const endings: [string, (appId: string, leaseId: string, owed: number) => PromiseLike<unknown>][] =
  [
    [
      "settle_lease()",
      (appId, leaseId, owed) => owner`
        select rate_limiter_internal.settle_lease_at(
          rate_limiter_internal.app_shard_key(${appId}), ${moment(2)}, ${appId}, ${leaseId}, 10, 0,
          ${owed}
        )
      `,
    ],
    [
      "renew_lease()",
      (appId, leaseId, owed) => owner`
        select rate_limiter_internal.renew_lease_at(
          rate_limiter_internal.app_shard_key(${appId}), ${moment(2)}, ${appId}, ${leaseId}, 10, 0,
          0, 0, owed_tokens => ${owed}
        )
      `,
    ],
  ];

const exchanges: typeof endings = [
  [
    "a settlement of an exchange",
    (appId, leaseId) => owner`
      select rate_limiter_internal.exchange_leases_at(
        '{}',
        array[row(
          rate_limiter_internal.app_shard_key(${appId}), ${appId}::uuid, ${leaseId}::uuid, 10, 0,
          null
        )::rate_limiter_internal.lease_end],
        '{}', ${moment(2)}
      )
    `,
  ],
  [
    "a renewal of an exchange",
    (appId, leaseId) => owner`
      select rate_limiter_internal.exchange_leases_at(
        array[row(
          rate_limiter_internal.app_shard_key(${appId}), ${appId}::uuid, ${leaseId}::uuid, 10, 0,
          0, 0, null, null
        )::rate_limiter_internal.lease_renewal],
        '{}', '{}', ${moment(2)}
      )
    `,
  ],
];

describe.each([...endings, ...exchanges])("what %s gives back of a lease", (_, end) => {
  test("from before the quota ended, goes to its bucket, where it stays, and to layer 1", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, layer1);
    const appId = await limitedApplication(sql, quota, { clusterId });
    const leaseId = await leased(appId, 40);
    await cancel(appId, moment(1));
    await end(appId, leaseId, 0);
    await publish(sql, { appId }, quota, moment(10));
    // 60 were left, one flowed in until the quota ended, and 30 came back.
    expect(await tokensAt(sql, moment(10), appId)).toBe("91.000000");
    expect(await tokensAt(sql, moment(5), clusterId, "iops_l1")).toBe("995.000000");
  });

  test("goes up to the last capacity, and no further", async () => {
    const appId = await limitedApplication(sql, { iops: 1000, burst: 1000 });
    const leaseId = await leased(appId, 40);
    await cancel(appId, moment(1));
    await end(appId, leaseId, 0);
    await publish(sql, { appId }, { iops: 1000, burst: 1000 }, moment(10));
    expect(await tokensAt(sql, moment(10), appId)).toBe("1000.000000");
  });
});

test.each(endings)("what %s owes beyond it is debt that waits for a quota", async (_, end) => {
  const appId = await limitedApplication(sql, quota);
  const leaseId = await leased(appId, 40);
  await cancel(appId, moment(1));
  await end(appId, leaseId, 130);
  await publish(sql, { appId }, quota, moment(10));
  expect(await tokensAt(sql, moment(10), appId)).toBe("-39.000000");
});

test("references from before the quota ended are settled and refunded", async () => {
  const appId = await limitedApplication(sql, { ...quota, bytes: 10_000 });
  for (const reference of ["grows", "shrinks", "refunded"]) {
    await owner`
      select rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(1)}, ${appId}, 'head', 2000,
        ${reference}
      )
    `;
  }
  await cancel(appId, moment(1));
  const settle = (reference: string, size: number) => owner`
    select rate_limiter_internal.settle_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(2)}, ${appId}, ${reference}, ${size}
    )
  `;
  await settle("grows", 7000);
  await settle("shrinks", 500);
  await owner`
    select rate_limiter_internal.refund_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(2)}, ${appId}, 'refunded'
    )
  `;
  await publish(sql, { appId }, { ...quota, bytes: 10_000 }, moment(10));
  expect(await tokensAt(sql, moment(10), appId, "bandwidth_l2")).toBe("2500.000000");
});

test("an operation from after the quota ended is given back to no bucket of the application", async () => {
  const appId = await limitedApplication(sql, quota);
  await leased(appId, 40);
  await cancel(appId, moment(1));
  await owner`
    select rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(2)}, ${appId}, 'list', 0, 'r'
    )
  `;
  await owner`
    select rate_limiter_internal.refund_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(3)}, ${appId}, 'r'
    )
  `;
  await publish(sql, { appId }, quota, moment(10));
  expect(await tokensAt(sql, moment(10), appId)).toBe("61.000000");
});

test("the ledger explains every balance afterwards", async () => {
  expect(await ledgerGaps(sql)).toEqual([]);
});
