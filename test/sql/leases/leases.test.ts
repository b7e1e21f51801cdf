import { describe, expect, test } from "vitest";
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
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");
const gateway = database.as("rate_limiter_app");
await setSetting(database.sql, "lease_max_share", 1);
await setSetting(database.sql, "lease_common_share", 1);

async function lease(appId: string, at: string, tokens: number, bytes = 0, holder = "one") {
  const [grant] = await owner`
    select * from rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}),
      ${at}, ${appId}, ${tokens}, ${bytes}, '10 s', ${holder}
    )
  `;
  return { ...grant } as Record<string, string>;
}

async function settle(
  appId: string,
  at: string,
  leaseId = "",
  tokens = 0,
  bytes = 0,
  [owedTokens, owedBytes]: readonly [number, number] = [0, 0],
) {
  const [back] = await owner`
    select * from rate_limiter_internal.settle_lease_at(
      rate_limiter_internal.app_shard_key(${appId}),
      ${at}, ${appId}, ${leaseId}, ${tokens}, ${bytes}, ${owedTokens}, ${owedBytes}
    )
  `;
  return { ...back };
}

/** What a cluster's bucket counts as leased. */
async function leased(clusterId: string) {
  const [row] = await database.sql`
    select leased from rate_limiter.token_buckets
    where owner_id = ${clusterId} and bucket_type = 'iops_l1'
  `;
  return row?.leased;
}

describe("a lease", () => {
  test("comes out of the buckets of both layers at once", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { iops: 1, burst: 500 });
    const appId = await limitedApplication(
      database.sql,
      { iops: 1, burst: 100, bytes: 1000 },
      { clusterId },
    );
    const grant = await lease(appId, moment(0), 40, 300);
    expect(grant).toMatchObject({ tokens: "40", bytes: "300", lifetime_ms: "10000", holders: 1 });
    expect(await tokensAt(database.sql, moment(0), appId)).toBe("60.000000");
    expect(await tokensAt(database.sql, moment(0), appId, "bandwidth_l2")).toBe("700.000000");
    expect(await tokensAt(database.sql, moment(0), clusterId, "iops_l1")).toBe("460.000000");
  });

  test("leaves the reserve of either layer alone", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { iops: 1, burst: 100, reserve: 50 });
    const place = { clusterId };
    const first = await limitedApplication(
      database.sql,
      { iops: 1, burst: 100, reserve: 70 },
      place,
    );
    const second = await limitedApplication(database.sql, { iops: 1, burst: 100 }, place);
    expect(await lease(first, moment(0), 100)).toMatchObject({ tokens: "30.000000" });
    expect(await lease(second, moment(0), 100)).toMatchObject({ tokens: "20.000000" });
  });

  test("of nothing has no row, and says when to ask again", async () => {
    const appId = await limitedApplication(database.sql, { iops: 10, burst: 10, reserve: 10 });
    const before = await dataPlane(database.sql);
    const grant = await lease(appId, moment(0), 5);
    expect(grant).toMatchObject({ lease_id: null, tokens: "0.000000", is_limited_tokens: true });
    expect(await dataPlane(database.sql)).toEqual(before);

    const drained = await limitedApplication(database.sql, { iops: 10, burst: 20 });
    await owner`
      select rate_limiter_internal.adjust_tokens_at(
        ${moment(0)}, ${drained}, 'iops_l2', -20, 'test'
      )
    `;
    // A tenth of a second of refill is worth asking for again; less, where less was asked.
    const empty = await dataPlane(database.sql);
    expect(await lease(drained, moment(0.03), 5)).toMatchObject({
      tokens: "0.300000",
      lease_id: expect.any(String),
    });
    expect(await lease(drained, moment(0.03), 5)).toMatchObject({
      tokens: "0.000000",
      retry_after_ms: "100",
    });
    expect(await lease(drained, moment(0.03), 0.7)).toMatchObject({ retry_after_ms: "70" });
    expect(empty).not.toEqual(await dataPlane(database.sql));
  });

  test.each([
    ["the whole capacity", 100],
    ["more than the capacity", 101],
  ])("of nothing says never where %s is kept in reserve", async (_, reserve) => {
    const appId = await limitedApplication(database.sql, { iops: 10, burst: 100, reserve });
    const { tokens, ...grant } = await lease(appId, moment(0), 5);
    expect(Number(tokens)).toBe(0);
    expect(grant).toMatchObject({ lease_id: null, retry_after_ms: null });
  });

  test("together with the other open ones is no more than the capacity", async () => {
    const appId = await limitedApplication(database.sql, { iops: 10, burst: 100, bytes: 1000 });
    const first = await lease(appId, moment(0), 60, 1000);
    expect(await lease(appId, moment(5), 60)).toMatchObject({ tokens: "40.000000" });
    const full = { tokens: "0.000000", lease_id: null, retry_after_ms: "100" };
    expect(await lease(appId, moment(9), 60)).toMatchObject(full);
    expect(await lease(appId, moment(9), 0, 60)).toMatchObject({ bytes: "0.000000" });
    await settle(appId, moment(9), first.lease_id, 60, 1000);
    expect(await lease(appId, moment(9), 70, 60)).toMatchObject({
      tokens: "60.000000",
      bytes: "60",
    });
    // What has expired holds nothing any more.
    expect(await lease(appId, moment(15), 60)).toMatchObject({ tokens: "40.000000" });
  });

  test("of a cluster's applications together is no more than layer 1 holds when full", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { iops: 10, burst: 100 });
    const apps = await Promise.all(
      Array.from({ length: 3 }, () =>
        limitedApplication(database.sql, { iops: 100, burst: 100 }, { clusterId }),
      ),
    );
    const [one, two, three] = apps as [string, string, string];
    const first = await lease(one, moment(0), 70);
    await lease(two, moment(0), 30);
    expect(await lease(three, moment(8), 50)).toMatchObject({
      tokens: "0.000000",
      retry_after_ms: "100",
    });
    await settle(one, moment(8), first.lease_id, 70);
    expect(await lease(three, moment(8), 100)).toMatchObject({ tokens: "70.000000" });
    // That of the second has expired, and the job that settles it has not run.
    expect(await leased(clusterId)).toBe("100.000000");
    expect(await lease(one, moment(10), 100)).toMatchObject({ tokens: "30.000000" });
    expect(await leased(clusterId)).toBe("100.000000");
    await database.as("rate_limiter_worker")`
      select rate_limiter_private.expire_leases(${moment(19)}, 1000)
    `;
    expect(await leased(clusterId)).toBe("30.000000");
    await database.as("rate_limiter_worker")`
      select rate_limiter_private.expire_leases(${moment(30)}, 1000)
    `;
    expect(await leased(clusterId)).toBeNull();
  });

  test("that layer 1 gave nothing to takes nothing off what it counts", async () => {
    const clusterId = await makeCluster(database.sql);
    const place = { clusterId };
    const appId = await limitedApplication(database.sql, { iops: 10, burst: 100 }, place);
    const early = await lease(appId, moment(0), 50);
    const expiring = await lease(appId, moment(0), 10);
    await publish(database.sql, { clusterId }, { iops: 10, burst: 100 }, moment(1));
    const other = await limitedApplication(database.sql, { iops: 10, burst: 100 }, place);
    await lease(other, moment(5), 30);
    await settle(appId, moment(5), early.lease_id, 50);
    expect(await leased(clusterId)).toBe("30.000000");
    await database.as("rate_limiter_worker")`
      select rate_limiter_private.expire_leases(${moment(11)}, 1000)
    `;
    const [row] = await database.sql`
      select settled_at is not null as is_settled
      from rate_limiter.token_leases where lease_id = ${expiring.lease_id ?? null}
    `;
    expect(row?.is_settled).toBe(true);
    expect(await leased(clusterId)).toBe("30.000000");
  });

  test("of nothing leaves expired ones to the job, where those are not in the way", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { iops: 10, burst: 100 });
    const appId = await limitedApplication(
      database.sql,
      { iops: 10, burst: 10, reserve: 10 },
      { clusterId },
    );
    const other = await limitedApplication(database.sql, { iops: 10, burst: 10 }, { clusterId });
    await lease(other, moment(0), 10);
    await lease(appId, moment(20), 5);
    const versions = async () => {
      const rows = await database.sql`
        select xmin::text, xmax::text from rate_limiter.token_buckets
        where owner_id in (${appId}, ${clusterId}) order by owner_id
      `;
      return rows.map((row) => ({ ...row }));
    };
    const before = await versions();
    expect(await lease(appId, moment(20), 5)).toMatchObject({ lease_id: null });
    expect(await versions()).toEqual(before);
    expect(await leased(clusterId)).toBe("10.000000");
  });

  test("never is more than its share of a capacity", async () => {
    const other = await createDatabase();
    await setSetting(other.sql, "lease_max_share", 0.25);
    const appId = await limitedApplication(other.sql, { iops: 1, burst: 100 });
    const [grant] = await other.as("rate_limiter_app")`
      select * from rate_limiter.lease_tokens(${appId}, 1000, 0)
    `;
    expect(grant?.tokens).toBe("25.000000");
  });

  test("is free where nothing limits it", async () => {
    const appId = await makeApplication(database.sql);
    expect(await lease(appId, moment(0), 7, 8)).toMatchObject({
      tokens: "7",
      bytes: "8",
      is_limited_tokens: false,
      is_limited_bytes: false,
    });
  });

  test("tells how many hold one", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 100 });
    await lease(appId, moment(0), 1, 0, "one");
    await lease(appId, moment(0), 1, 0, "one");
    expect(await lease(appId, moment(1), 1, 0, "two")).toMatchObject({ holders: 2 });
    // However many leases of its own it has open.
    expect(await lease(appId, moment(1), 1, 0, "two")).toMatchObject({ holders: 2 });
    expect(await lease(appId, moment(1), 1, 0, "three")).toMatchObject({ holders: 3 });
    // All of them have expired by then.
    expect(await lease(appId, moment(30), 1, 0, "four")).toMatchObject({ holders: 1 });
  });
});

describe("settling", () => {
  test("gives back what was not spent, once", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 100, bytes: 1000 });
    const { lease_id } = await lease(appId, moment(0), 40, 500);
    expect(await settle(appId, moment(0), lease_id, 15, 100)).toEqual({
      returned_tokens: "25.000000",
      returned_bytes: "400.000000",
    });
    const settled = await dataPlane(database.sql);
    await expectSqlState(settle(appId, moment(0), lease_id, 15, 100), "QS409", "lease is settled");
    expect(await dataPlane(database.sql)).toEqual(settled);
    expect(await tokensAt(database.sql, moment(0), appId)).toBe("85.000000");
  });

  test("lifts no bucket above its capacity", async () => {
    const appId = await limitedApplication(database.sql, { iops: 10, burst: 100 });
    const { lease_id } = await lease(appId, moment(0), 40);
    await settle(appId, moment(3), lease_id, 0);
    expect(await tokensAt(database.sql, moment(3), appId)).toBe("100.000000");
  });

  test("at the last moment gives back, and a moment later is an error", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 100 });
    const { lease_id } = await lease(appId, moment(0), 50);
    const { lease_id: another } = await lease(appId, moment(0), 40);
    const last = "2020-01-01T00:00:09.999999Z";
    expect(await settle(appId, last, lease_id)).toMatchObject({ returned_tokens: "50.000000" });
    expect(await tokensAt(database.sql, last, appId)).toBe("69.999999");
    const before = await dataPlane(database.sql);
    await expectSqlState(settle(appId, moment(10), another), "QS410", "lease has expired");
    expect(await dataPlane(database.sql)).toEqual(before);
  });

  test("charges what was used beyond it, to the buckets that it was taken from", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { iops: 1, burst: 500 });
    const appId = await limitedApplication(
      database.sql,
      { iops: 1, burst: 100, bytes: 1000 },
      { clusterId },
    );
    const { lease_id } = await lease(appId, moment(0), 40, 300);
    const both = { iops: 1, burst: 500, bytes: 1000 };
    await publish(database.sql, { clusterId }, both, "2020-01-01T00:00:00.000001Z");
    expect(await settle(appId, moment(1), lease_id, 40, 100, [150, 50])).toEqual({
      returned_tokens: "0.000000",
      returned_bytes: "200.000000",
    });
    expect(await tokensAt(database.sql, moment(1), appId)).toBe("-89.000000");
    expect(await tokensAt(database.sql, moment(1), clusterId, "iops_l1")).toBe("311.000000");
    expect(await tokensAt(database.sql, moment(1), appId, "bandwidth_l2")).toBe("1000.000000");
    expect(await tokensAt(database.sql, moment(1), clusterId, "bandwidth_l1")).toBe("1000.000000");
  });

  test("by expiry counts everything as spent", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 100 });
    const { lease_id } = await lease(appId, moment(0), 40);
    const worker = database.as("rate_limiter_worker");
    const expire = async () => {
      const [row] = await worker`
        select rate_limiter_private.expire_leases(${moment(100)}, 10) as count
      `;
      return row?.count;
    };
    while ((await expire()) === 10);
    const [row] = await database.sql`
      select spent_tokens, settled_at is not null as is_settled
      from rate_limiter.token_leases where lease_id = ${lease_id ?? null}
    `;
    expect({ ...row }).toEqual({ spent_tokens: "40.000000", is_settled: true });
    expect(await expire()).toBe(0);
  });
});

describe("renewing", () => {
  const renew = async (appId: string, leaseId: string, spent: number, tokens: number) => {
    const [grant] = await gateway`
      select * from rate_limiter.renew_lease(${appId}, ${leaseId}, ${spent}, 0, ${tokens}, 0)
    `;
    return { ...grant } as Record<string, string>;
  };
  const slow = { iops: 1, burst: 1000 };

  test("settles the one and takes the next", async () => {
    const appId = await limitedApplication(database.sql, slow);
    const [first] = await gateway`select * from rate_limiter.lease_tokens(${appId}, 600, 0)`;
    const second = await renew(appId, first?.lease_id, 100, 900);
    // 400 were left, 500 came back, and a second or so flowed in.
    expect(Number(second.tokens)).toBe(900);
    const [row] = await database.sql`
      select spent_tokens from rate_limiter.token_leases where lease_id = ${first?.lease_id}
    `;
    expect(row?.spent_tokens).toBe("100.000000");
  });

  test.each([
    ["unknown", "00000000-0000-4000-8000-000000000000"],
    ["a stranger's", undefined],
  ])("one that is %s gives nothing back", async (_, known) => {
    const appId = await limitedApplication(database.sql, slow);
    const stranger = await limitedApplication(database.sql, slow);
    const [theirs] = await gateway`select * from rate_limiter.lease_tokens(${stranger}, 600, 0)`;
    await gateway`select * from rate_limiter.lease_tokens(${appId}, 600, 0)`;
    const next = await renew(appId, known ?? theirs?.lease_id, 0, 900);
    expect(Number(next.tokens)).toBeLessThan(450);
    const [row] = await database.sql`
      select settled_at from rate_limiter.token_leases where lease_id = ${theirs?.lease_id}
    `;
    expect(row?.settled_at).toBeNull();
  });

  test("with more spent than was leased is an error, and changes nothing", async () => {
    const appId = await limitedApplication(database.sql, slow);
    const [first] = await gateway`select * from rate_limiter.lease_tokens(${appId}, 600, 0)`;
    const before = await dataPlane(database.sql);
    await expectSqlState(
      renew(appId, first?.lease_id, 601, 1),
      "QS422",
      "spent more than was leased",
    );
    expect(await dataPlane(database.sql)).toEqual(before);
  });
});

test("the ledger explains every lease", async () => {
  expect(await ledgerGaps(database.sql)).toEqual([]);
});
