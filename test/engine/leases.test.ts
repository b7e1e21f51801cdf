import { describe, expect, test } from "vitest";
import { createDatabase } from "../harness/index.ts";
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
} from "./world.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");
const gateway = database.as("rate_limiter_app");
await setSetting(database.sql, "lease_max_share", 1);

async function lease(appId: string, at: string, tokens: number, bytes = 0, holder = "one") {
  const [grant] = await owner`
    select * from rate_limiter_internal.lease_tokens_at(
      ${at}, ${appId}, ${tokens}, ${bytes}, '10 s', ${holder}
    )
  `;
  return { ...grant } as Record<string, string>;
}

async function settle(appId: string, at: string, leaseId = "", tokens = 0, bytes = 0) {
  const [back] = await owner`
    select * from rate_limiter_internal.settle_lease_at(
      ${at}, ${appId}, ${leaseId}, ${tokens}, ${bytes}
    )
  `;
  return { ...back };
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

    const drained = await limitedApplication(database.sql, { iops: 10, burst: 10 });
    await lease(drained, moment(0), 10);
    expect(await lease(drained, moment(0), 5)).toMatchObject({
      tokens: "0.000000",
      retry_after_ms: "100",
    });
    expect(await lease(drained, moment(0.1), 5)).toMatchObject({ tokens: "1.000000" });
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
    expect(await settle(appId, moment(0), lease_id, 0, 0)).toEqual({
      returned_tokens: "0",
      returned_bytes: "0",
    });
    expect(await dataPlane(database.sql)).toEqual(settled);
    expect(await tokensAt(database.sql, moment(0), appId)).toBe("85.000000");
  });

  test("lifts no bucket above its capacity", async () => {
    const appId = await limitedApplication(database.sql, { iops: 10, burst: 100 });
    const { lease_id } = await lease(appId, moment(0), 40);
    await settle(appId, moment(3), lease_id, 0);
    expect(await tokensAt(database.sql, moment(3), appId)).toBe("100.000000");
  });

  test.each([
    ["at the last moment gives back", "2020-01-01T00:00:09.999999Z", "100.000000"],
    ["once it has expired gives nothing back", "2020-01-01T00:00:10Z", "60.000000"],
  ])("%s", async (_, at, tokens) => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 100 });
    const { lease_id } = await lease(appId, moment(0), 50);
    await settle(appId, at, lease_id);
    expect(await tokensAt(database.sql, at, appId)).toBe(tokens);
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

  test("spent more than was leased counts as all of it", async () => {
    const appId = await limitedApplication(database.sql, slow);
    const [first] = await gateway`select * from rate_limiter.lease_tokens(${appId}, 600, 0)`;
    await renew(appId, first?.lease_id, 601, 1);
    const [row] = await database.sql`
      select spent_tokens from rate_limiter.token_leases where lease_id = ${first?.lease_id}
    `;
    expect(row?.spent_tokens).toBe("600.000000");
  });
});

test("the ledger explains every lease", async () => {
  expect(await ledgerGaps(database.sql)).toEqual([]);
});
