import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  asUser,
  makeApplication,
  makeCluster,
  makeOperator,
  makeTenant,
  publish,
  setCeiling,
} from "../control-plane.ts";

const database = await createDatabase();
const { sql } = database;
const operator = await makeOperator(sql);
const gateway = database.as("rate_limiter_app");

const move = (appId: string, clusterId: string | null) =>
  asUser(database, operator, async (caller) => {
    const [row] = await caller`
      select
        m.from_cluster_id, m.to_cluster_id, m.open_leases::integer, m.open_borrowings::integer,
        (m.ended_reservation).reserved_iops::integer as ended_iops,
        (m.default_quota).config_id as default_config_id
      from rate_limiter_admin.move_application(${appId}, ${clusterId}) as m
    `;
    return { ...row };
  });

async function clusterOf(iops: number): Promise<string> {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId, iops });
  return clusterId;
}

async function tokens(ownerId: string, type: string): Promise<number> {
  const [row] = await sql`
    select b.current_tokens::float as tokens
    from rate_limiter.token_buckets as b
    where b.owner_id = ${ownerId} and b.bucket_type = ${type} and b.mode = 'enforce'
  `;
  return row?.tokens;
}

describe("an application that moves", () => {
  test("is answered what becomes of it", async () => {
    const [north, south] = [await clusterOf(1000), await clusterOf(1000)];
    const byDefault = await publish(sql, { defaultClusterId: south, iops: 5 });
    const appId = await makeApplication(sql, { clusterId: north });
    await asUser(
      database,
      operator,
      (caller) => caller`select rate_limiter_admin.set_reservation(${appId}, 'promised', 20)`,
    );
    expect(await move(appId, south)).toEqual({
      ...{ from_cluster_id: north, to_cluster_id: south, open_leases: 0, open_borrowings: 0 },
      ...{ ended_iops: 20, default_config_id: byDefault },
    });
    expect(await move(appId, null)).toEqual({
      ...{ from_cluster_id: south, to_cluster_id: null, open_leases: 0, open_borrowings: 0 },
      ...{ ended_iops: null, default_config_id: null },
    });
  });

  test("gives what is left of a lease back to the cluster that gave it", async () => {
    // Slow: what flows in while the test runs is next to nothing.
    const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
    for (const clusterId of [north, south]) {
      await publish(sql, { clusterId, iops: { limit: 1, burst: 1000 } });
    }
    const appId = await makeApplication(sql, { clusterId: north });
    await publish(sql, { appId, iops: { limit: 1, burst: 1000 } });
    const [lease] = await gateway`
      select lease_id, tokens::float as tokens
      from rate_limiter.lease_tokens(${appId}, 300, 0)
    `;
    expect(lease?.tokens).toBe(300);
    expect((await move(appId, south)).open_leases).toBe(1);
    await gateway`select rate_limiter.settle_lease(${appId}, ${lease?.lease_id}, 100, 0)`;
    expect(await tokens(north, "iops_l1")).toBeCloseTo(900, -1);
    // No decision has drawn on it yet.
    const [untouched] = await sql`
      select ledger_seq::integer as seq from rate_limiter.token_buckets
      where owner_id = ${south} and bucket_type = 'iops_l1'
    `;
    expect(untouched?.seq).toBe(0);
  });

  test("gives what is refunded back to the cluster that was charged", async () => {
    const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
    for (const clusterId of [north, south]) {
      await publish(sql, { clusterId, iops: { limit: 1, burst: 1000 } });
    }
    const appId = await makeApplication(sql, { clusterId: north });
    await gateway`select rate_limiter.consume(${appId}, 'list', 0, 'r')`;
    expect(await tokens(north, "iops_l1")).toBeCloseTo(997, 0);
    await move(appId, south);
    await gateway`select rate_limiter.refund(${appId}, 'r')`;
    expect(await tokens(north, "iops_l1")).toBeCloseTo(1000, 0);
  });

  test("keeps its loans and pays them, to a lender on the old cluster too", async () => {
    const tenantId = await makeTenant(sql);
    const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
    const [lender, borrower] = [
      await makeApplication(sql, { tenantId, clusterId: north }),
      await makeApplication(sql, { tenantId, clusterId: north }),
    ];
    for (const appId of [lender, borrower]) await publish(sql, { appId, iops: 100 });
    await gateway`select rate_limiter.consume(${borrower}, 'list', 0)`;
    const [loan] = await asUser(
      database,
      operator,
      (caller) => caller`
        select b.borrowing_id as id
        from rate_limiter_admin.borrow_tokens(
          ${borrower}, 'iops_l2', 10, interval '1 hour', ${lender}
        ) as b
      `,
    );
    expect((await move(borrower, south)).open_borrowings).toBe(1);
    await asUser(
      database,
      operator,
      (caller) => caller`select rate_limiter_admin.repay_borrowing(${borrower}, ${loan?.id})`,
    );
    const [row] = await sql`
      select b.status from rate_limiter.token_borrowing as b where b.borrowing_id = ${loan?.id}
    `;
    expect(row?.status).toBe("repaid");
  });

  test("keeps what its bucket holds, full or in need", async () => {
    const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
    const appId = await makeApplication(sql, { clusterId: north });
    await publish(sql, { appId, iops: { limit: 1, burst: 9 } });
    for (let call = 0; call < 3; call++) {
      await gateway`select rate_limiter.consume(${appId}, 'list', 0)`;
    }
    await move(appId, south);
    const [decision] = await gateway`select reason from rate_limiter.consume(${appId}, 'list', 0)`;
    expect(decision?.reason).toBe("iops_l2");
  });

  test("has to fit the ceiling of its tenant on the new cluster", async () => {
    const tenantId = await makeTenant(sql);
    const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
    const appId = await makeApplication(sql, { tenantId, clusterId: north });
    await publish(sql, { appId, iops: 100 });
    await asUser(database, operator, (caller) =>
      setCeiling(caller, { tenantId, clusterId: south, iops: [99, 99, 99] }),
    );
    await expectSqlState(move(appId, south), "QS403", "tenant ceiling is exceeded");
    const [row] = await sql`
      select cluster_id from rate_limiter.applications where app_id = ${appId}
    `;
    expect(row?.cluster_id).toBe(north);
  });
});

describe("an application with history is deactivated, not deleted and made anew", () => {
  const remove = (appId: string) =>
    sql`delete from rate_limiter.applications where app_id = ${appId}`;

  test.each([
    ["a quota", (appId: string) => publish(sql, { appId, iops: 9 })],
    [
      "a decision under a default quota",
      async (appId: string) => {
        const clusterId = await makeCluster(sql);
        await publish(sql, { defaultClusterId: clusterId, iops: 9 });
        await sql`update rate_limiter.applications set cluster_id = ${clusterId} where app_id = ${appId}`;
        await gateway`select rate_limiter.consume(${appId}, 'list', 0)`;
      },
    ],
    [
      "a reference",
      (appId: string) => gateway`select rate_limiter.consume(${appId}, 'list', 0, 'r')`,
    ],
  ])("by %s", async (_, live) => {
    const appId = await makeApplication(sql);
    await live(appId);
    await expectSqlState(remove(appId), "QS409", "application has history");
  });

  test("and one that never did anything is deleted, with the buckets of its default", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { defaultClusterId: clusterId, iops: 9 });
    const appId = await makeApplication(sql, { clusterId });
    await remove(appId);
    const buckets = await sql`select from rate_limiter.token_buckets where owner_id = ${appId}`;
    expect(buckets).toHaveLength(0);
  });
});
