import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeApplication,
  makeCluster,
  moment,
  publish,
  setSetting,
  tokensAt,
} from "../world.ts";
import { pair, raced as racedIn } from "./raced.ts";

const database = await createDatabase();
await setSetting(database.sql, "layer1_prefetch_ms", 0);

const consume =
  (appId: string, reference: string | null = null, size = 0) =>
  (sql: Sql) =>
    sql`
    select * from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}),
      ${moment(0)}, ${appId}, 'head', ${size}, ${reference}
    )
  `;

const lease = (appId: string, tokens: number) => (sql: Sql) =>
  sql`
    select * from rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, ${tokens}, 0, '10 s'
    )
  `;

const settleLease = (appId: string, leaseId: string) => (sql: Sql) =>
  sql`
    select * from rate_limiter_internal.settle_lease_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, ${leaseId}, 0, 0
    )
  `;

/** The first row of what each of two at once is answered. */
async function raced(one: (sql: Sql) => PromiseLike<unknown>, two = one) {
  const answers = await racedIn(database, one, two);
  const [answer, later] = answers.map((rows) => (rows as Record<string, unknown>[])[0]);
  return [{ ...answer }, { ...later }] as const;
}

describe("at the same time", () => {
  test("two take the last token: one gets it", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 1 });
    const [one, two] = await raced(consume(appId));
    expect(one).toMatchObject({ allowed: true, remaining: "0.000000" });
    expect(two).toMatchObject({ allowed: false, reason: "iops_l2", retry_after_ms: "1000" });
  });

  test("two applications take the last token of their cluster: one gets it", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { iops: 1, burst: 1 });
    const quota = { iops: 1, burst: 10 };
    const appId = await limitedApplication(database.sql, quota, { clusterId });
    const other = await limitedApplication(database.sql, quota, { clusterId });
    const [one, two] = await raced(consume(appId), consume(other));
    expect(one).toMatchObject({ allowed: true });
    expect(two).toMatchObject({ allowed: false, reason: "iops_l1" });
    expect(await tokensAt(database.sql, moment(0), other)).toBe("10.000000");
  });

  test("two come under one reference: charged once, answered alike", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 10 });
    const [one, two] = await raced(consume(appId, "upload"));
    expect(one).toMatchObject({ allowed: true, remaining: "9.000000" });
    expect(two).toEqual(one);
  });

  test("two settle a lease: it comes back once", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 10 });
    const [grant] = await lease(appId, 4)(database.as("rate_limiter_owner"));
    const [first, second] = await pair(database);
    await first.sql`begin`;
    const [settlement] = await settleLease(appId, grant?.lease_id)(first.sql);
    expect({ ...settlement }).toEqual({ returned_tokens: "4.000000", returned_bytes: "0.000000" });
    const pending = second.start(settleLease(appId, grant?.lease_id));
    await second.waitsOnLock();
    await first.sql`commit`;
    await expectSqlState(pending, "QS409", "lease is settled");
    expect(await tokensAt(database.sql, moment(0), appId)).toBe("10.000000");
  });

  test("a lease and a decision share what is there", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 2 });
    await setSetting(database.sql, "lease_max_share", 1);
    const [granted, decision] = await raced(lease(appId, 2), consume(appId));
    expect(granted).toMatchObject({ tokens: "2" });
    expect(decision).toMatchObject({ allowed: false });
  });

  test("two refund one operation: it is given back once", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 10 });
    await consume(appId, "r")(database.as("rate_limiter_owner"));
    await consume(appId)(database.as("rate_limiter_owner"));
    const [one, two] = await raced(
      (sql) => sql`select rate_limiter_internal.refund_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'r'
      ) as refunded`,
    );
    expect([one.refunded, two.refunded]).toEqual([true, false]);
    expect(await tokensAt(database.sql, moment(0), appId)).toBe("9.000000");
  });

  test("a decision that waited goes by the quota that was published meanwhile", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 10 });
    await consume(appId)(database.as("rate_limiter_owner"));
    const [, decision] = await raced(
      async (sql) => {
        await publish(sql, { appId }, { iops: 1, burst: 2 }, moment(1));
        return [{}];
      },
      (sql) =>
        sql`
          select * from rate_limiter_internal.consume_at(
            rate_limiter_internal.app_shard_key(${appId}), ${moment(1)}, ${appId}, 'head', 0
          )
        `,
    );
    expect(decision).toMatchObject({ allowed: true, remaining: "1.000000" });
  });
});

describe("a decision whose first bucket pays and whose second no longer can", () => {
  test("gives the first its tokens back, and denies", async () => {
    const appId = await limitedApplication(database.sql, { iops: 1, burst: 10, bytes: 10 });
    await consume(appId, null, 1)(database.as("rate_limiter_owner"));
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await first.sql`
      select rate_limiter_internal.adjust_tokens_at(
        ${moment(0)}, ${appId}, 'bandwidth_l2', -5, 'test'
      )
    `;
    // It sees 9 bytes, takes its token, and finds 4 bytes.
    const pending = second.start(consume(appId, null, 8));
    await second.waitsOnLock();
    await first.sql`commit`;
    const [decision] = await pending;
    expect(decision).toMatchObject({
      allowed: false,
      reason: "bandwidth_l2",
      remaining: "9.000000",
      remaining_bytes: "4.000000",
    });
    expect(await tokensAt(database.sql, moment(0), appId)).toBe("9.000000");
  });
});

describe("a settle that leaves a debt", () => {
  test.each([
    ["a bandwidth quota", {}],
    ["both quotas", { iops: 1, burst: 10 }],
  ])("is not lost to a decision on %s that looked before it", async (_, also) => {
    const appId = await limitedApplication(database.sql, { ...also, bytes: 1000, oversize: true });
    const owner = database.as("rate_limiter_owner");
    await consume(appId, "upload", 1500)(owner);
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await first.sql`
      select from rate_limiter.token_buckets
      where owner_id = ${appId} order by bucket_type for update
    `;
    // It sees what flowed in since the 500 bytes were paid back, and waits to take it.
    const pending = second.start(
      (sql) => sql`
        select * from rate_limiter_internal.consume_at(
          rate_limiter_internal.app_shard_key(${appId}), ${moment(1.5)}, ${appId}, 'head', 900
        )
      `,
    );
    await second.waitsOnLock();
    await first.sql`
      select rate_limiter_internal.settle_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'upload', 11500
      )
    `;
    await first.sql`commit`;
    expect(await pending).toMatchObject([{ allowed: false, reason: "bandwidth_l2" }]);
    expect(await tokensAt(database.sql, moment(10.5), appId, "bandwidth_l2")).toBe("0.000000");
    expect(await tokensAt(database.sql, moment(11), appId, "bandwidth_l2")).toBe("500.000000");
  });
});

test("a decision that loses layer 1's bytes after its tokens holds up no reserve", async () => {
  const clusterId = await makeCluster(database.sql);
  await publish(database.sql, { clusterId }, { iops: 1, burst: 100, bytes: 2000 });
  const quota = { iops: 1, burst: 100, bytes: 1000 };
  const appId = await limitedApplication(database.sql, quota, { clusterId });
  const owner = database.as("rate_limiter_owner");
  await database.sql`
    insert into rate_limiter.reservations (app_id, cluster_id, reserved_bps, reservation_seconds)
    values (${appId}, ${clusterId}, 300, 2)
  `;
  await owner`select rate_limiter_internal.sync_reserves_at(${moment(0)}, ${clusterId})`;
  const at = moment(10);
  const upload = (size: number) => (sql: Sql) =>
    sql`
      select * from rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 'head', ${size}
      )
    `;
  await upload(1)(owner);

  const [first, second] = await pair(database);
  const third = await database.session("third", "rate_limiter_owner");
  await first.sql`begin`;
  await first.sql`
    select rate_limiter_internal.adjust_tokens_at(
      ${at}, ${clusterId}, 'bandwidth_l1', -1899, 'test'
    )
  `;
  // It has layer 1's token, and waits for the bytes: those are gone, and its reserve pays.
  const decision = second.start(upload(500));
  await second.waitsOnLock();
  const change = third.start(
    (sql) => sql`select rate_limiter_internal.sync_reserves_at(${at}, ${clusterId})`,
  );
  await third.waitsOnLock();
  await first.sql`commit`;
  expect(await decision).toMatchObject([{ allowed: true, remaining: "98.000000" }]);
  await change;
  const bytes = (ownerId: string, type: string) => tokensAt(database.sql, at, ownerId, type);
  expect(await bytes(appId, "bandwidth_reserve")).toBe("100.000000");
  expect(await bytes(clusterId, "bandwidth_l1")).toBe("-400.000000");
  expect(await bytes(clusterId, "iops_l1")).toBe("98.000000");
});

test("an application moves while its tenant is deactivated", async () => {
  const clusterId = await makeCluster(database.sql);
  const appId = await makeApplication(database.sql);
  const [first, second] = await pair(database);
  await first.sql`begin`;
  await first.sql`
    update rate_limiter.applications set cluster_id = ${clusterId} where app_id = ${appId}
  `;
  const pending = second.start(
    (sql) => sql`
      update rate_limiter.tenants as t set is_active = false
      from rate_limiter.applications as a
      where a.tenant_id = t.tenant_id and a.app_id = ${appId}
    `,
  );
  await second.waitsOnLock();
  await first.sql`commit`;
  await pending;
  const [row] = await database.sql`
    select cluster_id, tenant_is_active from rate_limiter.app_facts where app_id = ${appId}
  `;
  expect({ ...row }).toEqual({ cluster_id: clusterId, tenant_is_active: false });
});

describe("renewing a lease", () => {
  const renew = (appId: string, leaseId: string) => (sql: Sql) =>
    sql`
      select * from rate_limiter_internal.renew_lease_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment(0)}, ${appId}, ${leaseId}, 0, 0, 5, 0, '10 s'
      )
    `;
  const owner = database.as("rate_limiter_owner");

  test("after a move locks both clusters in the order that all do", async () => {
    const clusters = [await makeCluster(database.sql), await makeCluster(database.sql)].sort();
    for (const clusterId of clusters) {
      await publish(database.sql, { clusterId }, { iops: 1, burst: 100 });
    }
    const [low, high] = clusters as [string, string];
    const appId = await limitedApplication(
      database.sql,
      { iops: 1, burst: 100 },
      { clusterId: high },
    );
    const [grant] = await lease(appId, 4)(owner);
    await database.sql`
      update rate_limiter.applications set cluster_id = ${low} where app_id = ${appId}
    `;
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await first.sql`
      select from rate_limiter.token_buckets where owner_id = ${low} for update
    `;
    const pending = second.start(renew(appId, grant?.lease_id));
    await second.waitsOnLock();
    // It waits for the first of them and holds nothing of the second.
    await first.sql`
      select from rate_limiter.token_buckets where owner_id = ${high} for update nowait
    `;
    await first.sql`commit`;
    expect(await pending).toMatchObject([{ tokens: "5" }]);
    const layer1 = (clusterId: string) => tokensAt(database.sql, moment(0), clusterId, "iops_l1");
    expect([await layer1(low), await layer1(high)]).toEqual(["95.000000", "100.000000"]);
  });

  test("leaves a bucket alone that came while it waited", async () => {
    const clusterId = await makeCluster(database.sql);
    await publish(database.sql, { clusterId }, { iops: 1, burst: 100 });
    const appId = await makeApplication(database.sql, { clusterId });
    const [grant] = await lease(appId, 4)(owner);
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await first.sql`
      select from rate_limiter.token_buckets where owner_id = ${clusterId} for update
    `;
    const pending = second.start(renew(appId, grant?.lease_id));
    await second.waitsOnLock();
    await publish(database.sql, { appId }, { iops: 1, burst: 50 });
    // A decision that has the new bucket and waits for the cluster's, as the renewal does.
    const third = await database.session("third", "rate_limiter_owner");
    const decision = third.start(consume(appId, "r"));
    await third.waitsOnLock();
    await first.sql`commit`;
    expect(await pending).toMatchObject([{ tokens: "5" }]);
    expect(await decision).toMatchObject([{ allowed: true }]);
    expect(await tokensAt(database.sql, moment(0), appId)).toBe("49.000000");
  });
});

test("two batches of an application without buckets meet at their references in one order", async () => {
  const appId = await makeApplication(database.sql);
  const references = Array.from({ length: 1000 }, (_, index) => `r${index}`);
  const batch = (names: string[]) =>
    database.as("rate_limiter_app")`
      select from rate_limiter.consume_batch(
        ${appId}, ${names.map(() => "head")}::text[], ${names.map(() => 0)}::bigint[],
        ${names}::text[]
      )
    `;
  await Promise.all([batch(references), batch(references.toReversed())]);
  const [row] = await database.sql`
    select count(*) as charges from rate_limiter.charges where app_id = ${appId}
  `;
  expect(row?.charges).toBe("1000");
});

test("the ledger explains every race", async () => {
  expect(await ledgerGaps(database.sql)).toEqual([]);
});

test("a bucket that borrowed gets its tokens back as well", async () => {
  const appId = await limitedApplication(database.sql, { iops: 1, burst: 20, bytes: 10 });
  await consume(appId, null, 1)(database.as("rate_limiter_owner"));
  await database.sql`
    select rate_limiter_internal.borrow_tokens_at(${moment(0)}, ${appId}, 'iops_l2', 6, '60 s')
  `;
  const [first, second] = await pair(database);
  await first.sql`begin`;
  await first.sql`
    select rate_limiter_internal.adjust_tokens_at(${moment(0)}, ${appId}, 'bandwidth_l2', -5, 'test')
  `;
  const pending = second.start(consume(appId, null, 8));
  await second.waitsOnLock();
  await first.sql`commit`;
  await pending;
  expect(await tokensAt(database.sql, moment(0), appId)).toBe("25.000000");
});
