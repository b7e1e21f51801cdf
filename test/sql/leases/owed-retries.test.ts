import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  dataPlane,
  ledgerGaps,
  limitedApplication,
  makeCluster,
  publish,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const gateway = database.as("rate_limiter_app");
const unknown = "00000000-0000-4000-8000-000000000000";

/** It hardly refills: what is taken stays taken. */
async function leasing() {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: 1, burst: 10_000 });
  return limitedApplication(sql, { iops: 1, burst: 1000 }, { clusterId });
}

async function lease(appId: string, tokens: number, lifetime = "1 hour"): Promise<string> {
  const [grant] = await gateway`
    select lease_id from rate_limiter.lease_tokens(${appId}, ${tokens}, 0, ${lifetime})
  `;
  return grant?.lease_id;
}

/** Takes no new lease, so that the balance tells what was charged. */
const renew = (appId: string, leaseId: string, spent: number, owed: number) => gateway`
  select rate_limiter.renew_lease(
    ${appId}, ${leaseId}, ${spent}, 0, 0, 0, null, null, null, ${owed}, 0
  )
`;
const settle = (appId: string, leaseId: string, spent: number, owed: number) => gateway`
  select rate_limiter.settle_lease(${appId}, ${leaseId}, ${spent}, 0, null, ${owed}, 0)
`;

/** To the next hundred: a few tokens flow in meanwhile. */
async function balance(appId: string): Promise<number> {
  return Math.round(Number(await tokensAt(sql, new Date().toISOString(), appId)) / 100) * 100;
}

async function expire(leaseId: string) {
  await sql`
    update rate_limiter.token_leases
    set granted_at = granted_at - interval '2 hours', expires_at = expires_at - interval '2 hours'
    where lease_id = ${leaseId}
  `;
}

describe("what is owed is charged once, although a renewal is repeated", () => {
  test("of a lease that the first renewal settled", async () => {
    const appId = await leasing();
    const leaseId = await lease(appId, 200);
    await renew(appId, leaseId, 200, 300);
    expect(await balance(appId)).toBe(500);
    await renew(appId, leaseId, 200, 300);
    expect(await balance(appId)).toBe(500);
  });

  test("of a lease that has expired", async () => {
    const appId = await leasing();
    const leaseId = await lease(appId, 200);
    await expire(leaseId);
    await renew(appId, leaseId, 200, 300);
    await renew(appId, leaseId, 200, 300);
    expect(await balance(appId)).toBe(500);
  });

  test("of a lease that is unknown", async () => {
    const appId = await leasing();
    await renew(appId, unknown, 200, 300);
    await renew(appId, unknown, 200, 300);
    expect(await balance(appId)).toBe(700);
  });

  test("and what has come up since is charged too", async () => {
    const appId = await leasing();
    const leaseId = await lease(appId, 200);
    await renew(appId, leaseId, 200, 300);
    await renew(appId, leaseId, 200, 400);
    expect(await balance(appId)).toBe(400);
    await renew(appId, leaseId, 200, 300);
    await renew(appId, leaseId, 200, 400);
    expect(await balance(appId)).toBe(400);
  });

  test("by two at once", async () => {
    const appId = await leasing();
    const renewing = Array.from({ length: 2 }, () => renew(appId, unknown, 0, 300));
    await Promise.all(renewing);
    expect(await balance(appId)).toBe(700);
  });
});

test("a repeated settlement charges nothing, nor does a renewal after it", async () => {
  const appId = await leasing();
  const leaseId = await lease(appId, 200);
  await settle(appId, leaseId, 200, 300);
  const settled = await dataPlane(sql);
  await expectSqlState(settle(appId, leaseId, 200, 300), "QS409", "lease is settled");
  await renew(appId, leaseId, 200, 300);
  expect(await dataPlane(sql)).toEqual(settled);
});

test("applications do not share what is owed of a lease", async () => {
  const [one, two] = [await leasing(), await leasing()];
  await renew(one, unknown, 0, 300);
  await renew(two, unknown, 0, 300);
  expect([await balance(one), await balance(two)]).toEqual([700, 700]);
});

test("a renewal that owes less than nothing is an error", async () => {
  const appId = await leasing();
  await expectSqlState(renew(appId, unknown, 0, -1), "QS422");
});

test("the ledger explains every charge", async () => {
  expect(await ledgerGaps(sql)).toEqual([]);
});
