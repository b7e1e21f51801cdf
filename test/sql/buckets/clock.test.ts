import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  dataPlane,
  ledgerGaps,
  limitedApplication,
  makeCluster,
  moment,
  publish,
  setSetting,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");
// An allotment may lapse at a step: less is admitted then, but how much less is not the point.
await setSetting(database.sql, "layer1_prefetch_ms", 0);
const hour = 3600;
/** Far from the quota's start, so that there is an hour to step back into. */
const noon = 12 * hour;

async function consume(appId: string, seconds: number, times = 1, size = 0): Promise<boolean[]> {
  const answers = await owner`
    select (rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(seconds)}, ${appId}, 'head', ${size}
    )).allowed
    from generate_series(1, ${times})
  `;
  return answers.map(({ allowed }) => allowed);
}

async function inACluster(): Promise<string> {
  const clusterId = await makeCluster(database.sql);
  await publish(database.sql, { clusterId }, { iops: 10, burst: 10 });
  return limitedApplication(database.sql, { iops: 5, burst: 10 }, { clusterId });
}

async function writtenAt(ownerId: string) {
  const rows = await database.sql`
    select
      bucket_type || case mode when 'shadow' then ' shadow' else '' end as bucket,
      extract(epoch from last_refill_at - ${moment(0)}::timestamptz)::float8 as seconds
    from rate_limiter.token_buckets
    where owner_id = ${ownerId}
  `;
  return Object.fromEntries(rows.map(({ bucket, seconds }) => [bucket, seconds]));
}

const none = (times: number) => Array<boolean>(times).fill(false);
const all = (times: number) => Array<boolean>(times).fill(true);

describe("a clock that steps an hour", () => {
  test("back adds nothing and takes nothing, and refill goes on from there", async () => {
    const appId = await inACluster();
    expect(await consume(appId, noon, 12)).toEqual([...all(10), false, false]);
    expect(await consume(appId, noon - hour, 3)).toEqual(none(3));
    expect(await tokensAt(database.sql, moment(noon - hour), appId)).toBe("0.000000");
    expect(await consume(appId, noon - hour + 1, 6)).toEqual([...all(5), false]);
  });

  test("ahead and back costs a bucket no time, and lets in what flowed in meanwhile", async () => {
    const appId = await inACluster();
    await consume(appId, noon, 10);
    expect(await consume(appId, noon + hour, 11)).toEqual([...all(10), false]);
    expect(await consume(appId, noon + 1, 3)).toEqual(none(3));
    expect(await consume(appId, noon + 2, 6)).toEqual([...all(5), false]);
  });

  test("ahead and back leaves a debt where it was, where nothing was admitted ahead", async () => {
    const appId = await inACluster();
    await owner`
      select rate_limiter_internal.charge_owed_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(noon)}, ${appId}, 20010, 0
      )
    `;
    // Its debt limit: an hour of refill.
    expect(await tokensAt(database.sql, moment(noon), appId)).toBe("-18000.000000");
    expect(await consume(appId, noon + hour)).toEqual([false]);
    expect(await consume(appId, noon + 1)).toEqual([false]);
    expect(await tokensAt(database.sql, moment(noon + 1), appId)).toBe("-17995.000000");
  });

  test("back and forth lets in what flows in on each way ahead", async () => {
    const appId = await inACluster();
    const admitted: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      for (const seconds of [noon, noon - hour]) {
        admitted.push((await consume(appId, seconds, 12)).filter(Boolean).length);
      }
    }
    expect(admitted).toEqual([10, 0, 10, 0, 10, 0]);
  });

  test("back forgives no loan: what is owed is owed", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 100 });
    await consume(appId, noon, 100);
    const borrow = (seconds: number, tokens: number) => owner`
      select repayment_tokens, due_at
      from rate_limiter_internal.borrow_tokens_at(
        ${moment(seconds)}, ${appId}, 'iops_l2', ${tokens}, '60 s'
      )
    `;
    expect(await borrow(noon, 100)).toMatchObject([{ repayment_tokens: "110.000000" }]);
    await consume(appId, noon, 100);
    await expectSqlState(borrow(noon - hour, 50), "QS409", "borrow limit");
  });

  test("gives a lease no second life, and takes none", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 100 });
    const [lease] = await owner`
      select lease_id
      from rate_limiter_internal.lease_tokens_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(noon)}, ${appId}, 40, 0, '10 s'
      )
    `;
    await owner`
      select rate_limiter_internal.settle_lease_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment(noon - hour)}, ${appId}, ${lease?.lease_id}, 30, 0
      )
    `;
    expect(await tokensAt(database.sql, moment(noon - hour), appId)).toBe("70.000000");
    expect(await tokensAt(database.sql, moment(noon - hour + 1), appId)).toBe("71.000000");
  });
});

describe("a clock that stepped back", () => {
  test("by a second or less takes no time back: nothing flows until it is there again", async () => {
    const appId = await inACluster();
    await consume(appId, noon, 10);
    expect(await consume(appId, noon - 1, 2)).toEqual(none(2));
    expect(await writtenAt(appId)).toEqual({ iops_l2: noon });
    expect(await consume(appId, noon)).toEqual([false]);
    expect(await consume(appId, noon + 0.2, 2)).toEqual([true, false]);
    // A microsecond more is a step.
    const [denied] = await owner`
      select allowed from rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment(noon + 0.2)}::timestamptz - interval '1.000001 s', ${appId}, 'head', 0
      )
    `;
    expect(denied?.allowed).toBe(false);
    expect(await writtenAt(appId)).toEqual({ iops_l2: noon - 0.800001 });
  });

  test("is healed by a denial, which writes nothing else", async () => {
    const appId = await inACluster();
    await consume(appId, noon, 10);
    const before = (await dataPlane(database.sql)) as Record<string, unknown>;
    expect(await consume(appId, noon - hour)).toEqual([false]);
    const after = (await dataPlane(database.sql)) as Record<string, unknown>;
    expect({ ...after, buckets: null }).toEqual({ ...before, buckets: null });
    const healed = await dataPlane(database.sql);
    expect(await consume(appId, noon - hour)).toEqual([false]);
    expect(await dataPlane(database.sql)).toEqual(healed);
  });

  test("is healed for each bucket that would be charged, shadow buckets too, and no other", async () => {
    const clusterId = await makeCluster(database.sql);
    const quota = { iops: 5, burst: 5, bytes: 100, oversize: false };
    await publish(database.sql, { clusterId }, quota);
    const appId = await limitedApplication(database.sql, quota, { clusterId });
    await publish(database.sql, { appId }, { ...quota, mode: "shadow" });
    await consume(appId, noon, 5, 20);
    expect(await consume(appId, noon - hour, 1, 0)).toEqual([false]);
    expect([await writtenAt(appId), await writtenAt(clusterId)]).toEqual([
      {
        iops_l2: noon - hour,
        "iops_l2 shadow": noon - hour,
        bandwidth_l2: noon,
        "bandwidth_l2 shadow": noon,
      },
      { iops_l1: noon - hour, bandwidth_l1: noon },
    ]);
    expect(await consume(appId, noon - hour, 1, 20)).toEqual([false]);
    expect([await writtenAt(appId), await writtenAt(clusterId)]).toEqual([
      {
        iops_l2: noon - hour,
        "iops_l2 shadow": noon - hour,
        bandwidth_l2: noon - hour,
        "bandwidth_l2 shadow": noon - hour,
      },
      { iops_l1: noon - hour, bandwidth_l1: noon - hour },
    ]);
  });

  test("is healed by an empty lease for what was asked", async () => {
    const quota = { iops: 5, burst: 5, bytes: 100 };
    const appId = await limitedApplication(database.sql, quota);
    await consume(appId, noon, 5, 20);
    const ask = (tokens: number, bytes: number) =>
      owner`
        select tokens, bytes, lease_id
        from rate_limiter_internal.lease_tokens_at(
          rate_limiter_internal.app_shard_key(${appId}),
          ${moment(noon - hour)}, ${appId}, ${tokens}, ${bytes}, '10 s'
        )
      `;
    expect(await ask(1, 0)).toMatchObject([{ tokens: "0.000000", lease_id: null }]);
    expect(await writtenAt(appId)).toEqual({ iops_l2: noon - hour, bandwidth_l2: noon });
    expect(await ask(0, 1)).toMatchObject([{ bytes: "0.000000", lease_id: null }]);
    expect(await writtenAt(appId)).toEqual({ iops_l2: noon - hour, bandwidth_l2: noon - hour });
  });

  test("leaves a window that it closed closed: the next gives what flows in until then", async () => {
    const appId = await limitedApplication(database.sql, {
      ...{ iops: 10, burst: 10, method: "fixed_window" },
    });
    expect(await consume(appId, noon, 11)).toEqual([...all(10), false]);
    expect(await consume(appId, noon - hour + 0.7)).toEqual([false]);
    // 0.3 seconds of the window were left then.
    expect(await consume(appId, noon - hour + 1, 4)).toEqual([...all(3), false]);
    expect(await consume(appId, noon - hour + 2, 11)).toEqual([...all(10), false]);
  });

  test("does not make denials write while a bucket is dormant", async () => {
    const clusterId = await makeCluster(database.sql);
    const appId = await limitedApplication(database.sql, { iops: 5, burst: 5 }, { clusterId });
    await publish(database.sql, { clusterId }, { iops: 5, burst: 10, bytes: 100 });
    await consume(appId, noon, 1, 10);
    await database.sql`
      select rate_limiter_internal.publish_quota_at(
        ${moment(noon + 1)}, null, ${clusterId}, 'enforce', null, null, c.quota -> 'iops', null,
        'test'
      )
      from (
        select rate_limiter_internal.quota_as_json(config_id) as quota
        from rate_limiter.quota_configs where cluster_id = ${clusterId}
      ) as c
    `;
    await consume(appId, noon + 1, 4, 10);
    await consume(appId, noon + 0.5, 2, 10);
    await consume(appId, noon - hour, 1, 10);
    const before = await rowVersions(clusterId);
    expect(await consume(appId, noon - hour, 1, 10)).toEqual([false]);
    expect(await rowVersions(clusterId)).toEqual(before);
  });
});

test("the ledger explains every step of the clock", async () => {
  expect(await ledgerGaps(database.sql)).toEqual([]);
});

/** Whatever writes or locks a row leaves a trace in these. */
async function rowVersions(ownerId: string): Promise<unknown[]> {
  const rows = await database.sql`
    select bucket_type, xmin::text, xmax::text
    from rate_limiter.token_buckets where owner_id = ${ownerId} order by bucket_type
  `;
  return rows.map((row) => ({ ...row }));
}
