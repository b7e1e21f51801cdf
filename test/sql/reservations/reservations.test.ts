import { describe, expect, test } from "vitest";
import type { TransactionSql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  asUser,
  cancel,
  makeApplication,
  makeCluster,
  makeOperator,
  makeTenant,
  publish,
  year,
} from "../control-plane.ts";

const database = await createDatabase();
const { sql } = database;
const operator = await makeOperator(sql);

interface Reservation {
  readonly iops?: number;
  readonly bps?: number;
  readonly seconds?: number;
  readonly reason?: string;
}

const setReservation = (
  caller: TransactionSql,
  appId: string,
  { iops, bps, seconds = 1, reason = "promised" }: Reservation,
) => caller`
  select
    (r.reservation).reserved_iops, (r.reservation).reserved_bps,
    (r.reservation).reservation_seconds, r.unpaid_operations, r.blocked_operations
  from rate_limiter_admin.set_reservation(
    ${appId}, ${reason}, ${iops ?? null}, ${bps ?? null}, ${seconds}
  ) as r
`;

async function reserve(appId: string, reservation: Reservation) {
  const [row] = await asUser(database, operator, (caller) =>
    setReservation(caller, appId, reservation),
  );
  return { ...row };
}

const release = (appId: string) =>
  asUser(
    database,
    operator,
    (caller) => caller`select rate_limiter_admin.remove_reservation(${appId}, 'no longer needed')`,
  );
const misfit = (work: Promise<unknown>) =>
  expectSqlState(work, "QS422", "reservations do not fit the quota of the cluster");

/** What layer 1 keeps, and the reserves that it keeps it for. */
async function kept(clusterId: string) {
  const rows = await sql<{ line: string }[]>`
    select format('%s %s', b.bucket_type, coalesce(trim_scale(b.headroom)::text, 'none')) as line
    from rate_limiter.token_buckets as b
    where b.owner_id = ${clusterId} and b.mode = 'enforce'
    order by b.bucket_type
  `;
  return rows.map(({ line }) => line);
}

async function clusterOf(iops: number, more = {}) {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId, iops: { limit: iops, burst: 2 * iops, ...more } });
  return clusterId;
}

describe("a reservation", () => {
  test("takes force at once, and ends at once", async () => {
    const clusterId = await clusterOf(100);
    const appId = await makeApplication(sql, { clusterId });
    expect(await reserve(appId, { iops: 20, seconds: 2 })).toMatchObject({
      ...{ reserved_iops: "20", reserved_bps: null, reservation_seconds: 2 },
    });
    expect(await kept(clusterId)).toEqual(["iops_l1 40"]);
    await reserve(appId, { iops: 30 });
    expect(await kept(clusterId)).toEqual(["iops_l1 30"]);
    await release(appId);
    expect(await kept(clusterId)).toEqual(["iops_l1 none"]);
    await expectSqlState(release(appId), "QS404", "unknown reservation");
  });

  test("made before its cluster has a quota counts from the first one on", async () => {
    const clusterId = await makeCluster(sql);
    const appId = await makeApplication(sql, { clusterId });
    await reserve(appId, { iops: 20, bps: 1000 });
    await publish(sql, { clusterId, iops: 100, bandwidth: 10_000 });
    expect(await kept(clusterId)).toEqual(["iops_l1 20", "bandwidth_l1 1000"]);
  });

  test("is audited, and each change is kept with who made it and why", async () => {
    const clusterId = await clusterOf(100);
    const appId = await makeApplication(sql, { clusterId });
    await reserve(appId, { iops: 20 });
    await reserve(appId, { iops: 20, reason: "the same again" });
    await reserve(appId, { iops: 30, reason: "more" });
    await sql`update rate_limiter.applications set cluster_id = null where app_id = ${appId}`;
    const history = await sql`
      select
        (h.old_values ->> 'reserved_iops')::integer as before,
        (h.new_values ->> 'reserved_iops')::integer as after,
        h.change_reason as why, h.changed_by as who
      from rate_limiter_audit.reservation_history as h
      where h.app_id = ${appId}
      order by h.changed_at
    `;
    expect([...history]).toEqual([
      { before: null, after: 20, why: "promised", who: operator },
      { before: 20, after: 30, why: "more", who: operator },
      { before: 30, after: null, why: "the application left the cluster", who: null },
    ]);
    const [audit] = await sql`
      select array_agg(l.action order by l.created_at) as actions
      from rate_limiter_audit.audit_logs as l
      where l.entity_type = 'reservations' and l.app_id = ${appId}
    `;
    expect(audit?.actions).toEqual(["insert", "update", "delete"]);
  });

  test("ends when the application leaves its cluster", async () => {
    const [north, south] = [await clusterOf(100), await clusterOf(100)];
    const appId = await makeApplication(sql, { clusterId: north });
    await reserve(appId, { iops: 20 });
    await sql`update rate_limiter.applications set cluster_id = ${south} where app_id = ${appId}`;
    expect([await kept(north), await kept(south)]).toEqual([["iops_l1 none"], ["iops_l1 none"]]);
    const rows = await sql`select from rate_limiter.reservations where app_id = ${appId}`;
    expect(rows).toHaveLength(0);
  });

  test.each(["application", "tenant"])("counts nowhere while its %s is inactive", async (what) => {
    const clusterId = await clusterOf(100);
    const tenantId = await makeTenant(sql);
    const appId = await makeApplication(sql, { clusterId, tenantId });
    const sibling = await makeApplication(sql, { clusterId });
    await reserve(appId, { iops: 50 });
    const activate = (on: boolean) =>
      what === "tenant"
        ? sql`update rate_limiter.tenants set is_active = ${on} where tenant_id = ${tenantId}`
        : sql`update rate_limiter.applications set is_active = ${on} where app_id = ${appId}`;
    await misfit(reserve(sibling, { iops: 50 }));
    await activate(false);
    expect(await kept(clusterId)).toEqual(["iops_l1 none"]);
    await reserve(sibling, { iops: 50 });
    expect(await kept(clusterId)).toEqual(["iops_l1 50"]);
    await misfit(activate(true).execute());
    await reserve(sibling, { iops: 40 });
    await activate(true);
    expect(await kept(clusterId)).toEqual(["iops_l1 90"]);
  });

  test.each([
    [{}],
    [{ iops: 0 }],
    [{ iops: 5, bps: -1 }],
    [{ iops: 5, seconds: 0 }],
    [{ iops: 5, seconds: 61 }],
  ])("of %o is none", async (reservation) => {
    const appId = await makeApplication(sql, { clusterId: await clusterOf(100) });
    await expectSqlState(reserve(appId, reservation), "QS422", "reservation does not fit");
  });

  test("needs a cluster and a reason", async () => {
    const appId = await makeApplication(sql);
    await expectSqlState(reserve(appId, { iops: 5 }), "QS422", "application is on no cluster");
    await expectSqlState(reserve(appId, { iops: 5, reason: " " }), "QS422", "reason is missing");
    await expectSqlState(
      reserve(appId, { iops: 5, reason: "x".repeat(1_001) }),
      "QS422",
      "reason is longer than 1000 characters",
    );
  });
});

describe("together reservations take at most", () => {
  test("nine tenths of the refill", async () => {
    const clusterId = await clusterOf(100);
    const [a, b] = [
      await makeApplication(sql, { clusterId }),
      await makeApplication(sql, { clusterId }),
    ];
    await reserve(a, { iops: 60 });
    await misfit(reserve(b, { iops: 31 }));
    await reserve(b, { iops: 30 });
  });

  test("half of the capacity", async () => {
    const clusterId = await clusterOf(100);
    const appId = await makeApplication(sql, { clusterId });
    await misfit(reserve(appId, { iops: 51, seconds: 2 }));
    await reserve(appId, { iops: 50, seconds: 2 });
  });

  test("as much as each quota that is scheduled leaves them", async () => {
    const clusterId = await clusterOf(100);
    const appId = await makeApplication(sql, { clusterId });
    await publish(sql, { clusterId, iops: { limit: 50, burst: 100 }, from: year(2101) });
    const error = await misfit(reserve(appId, { iops: 46 }));
    expect(error.detail).toMatch(/at: 2101-01-01 00:00:00\+00, .* reserved: 46 of at most 45,/);
    await reserve(appId, { iops: 45 });
  });

  test("bytes as much as tokens", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId, bandwidth: 1000 });
    const appId = await makeApplication(sql, { clusterId });
    await misfit(reserve(appId, { bps: 501 }));
    await reserve(appId, { bps: 500 });
  });
});

describe("a quota of the cluster that reservations do not fit is refused", () => {
  const reserved = async (more = {}) => {
    const clusterId = await clusterOf(100, more);
    const appId = await makeApplication(sql, { clusterId });
    await reserve(appId, { iops: 50 });
    return clusterId;
  };

  test("when it is published or scheduled", async () => {
    const clusterId = await reserved();
    await misfit(publish(sql, { clusterId, iops: { limit: 55, burst: 200 } }));
    await misfit(publish(sql, { clusterId, iops: { limit: 99, burst: 99 }, from: year(2101) }));
    await publish(sql, { clusterId, iops: { limit: 56, burst: 100 } });
  });

  test.each(["fixed_window", "leaky_bucket"] as const)("as a %s", async (method) => {
    const clusterId = await reserved();
    await misfit(publish(sql, { clusterId, iops: { limit: 1000, method } }));
    const other = await clusterOf(100, { method });
    const appId = await makeApplication(sql, { clusterId: other });
    await misfit(reserve(appId, { iops: 1 }));
  });

  test("when it comes back as what held it back is cancelled, or is rolled back", async () => {
    const clusterId = await makeCluster(sql);
    const small = await publish(sql, { clusterId, iops: 10 });
    const large = await publish(sql, { clusterId, iops: { limit: 100, burst: 200 } });
    const next = await publish(sql, {
      ...{ clusterId, from: year(2101), iops: { limit: 100, burst: 300 } },
    });
    const appId = await makeApplication(sql, { clusterId });
    await reserve(appId, { iops: 50 });
    await cancel(sql, next);
    const [version] = await sql`
      select v.version_id as id from rate_limiter_audit.quota_version_history as v
      where v.config_id = ${small} order by v.changed_at limit 1
    `;
    await misfit(
      asUser(
        database,
        operator,
        (caller) => caller`select rate_limiter_admin.rollback_quota(${version?.id}, 'back')`,
      ),
    );
    // Without any quota the reservation is dormant.
    await cancel(sql, large);
  });
});

describe("the answer of a change", () => {
  test("names the operations that the reserve cannot pay at their usual size", async () => {
    const clusterId = await clusterOf(1000);
    const appId = await makeApplication(sql, { clusterId });
    const small = await reserve(appId, { iops: 5 });
    expect(small.unpaid_operations).toEqual(["read_large", "write_large"]);
    expect((await reserve(appId, { iops: 5, seconds: 3 })).unpaid_operations).toEqual([]);
    await sql`
      insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override)
      select o.operation_id, ${appId}, 16 from rate_limiter.operation_types as o
      where o.name = 'head'
    `;
    expect((await reserve(appId, { iops: 5, seconds: 3 })).unpaid_operations).toEqual(["head"]);
  });

  test("names those that others can never do beside it", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId, iops: 11 });
    const appId = await makeApplication(sql, { clusterId });
    expect((await reserve(appId, { iops: 1 })).blocked_operations).toEqual(["write_large"]);
    expect((await reserve(appId, { iops: 5 })).blocked_operations).toEqual(["write_large"]);
    await publish(sql, { clusterId, iops: 12 });
    expect((await reserve(appId, { iops: 1 })).blocked_operations).toEqual([]);
  });
});

test("two reservations at once fit the cluster together", async () => {
  const clusterId = await clusterOf(100);
  const [a, b] = [
    await makeApplication(sql, { clusterId }),
    await makeApplication(sql, { clusterId }),
  ];
  const first = await database.session("first", "rate_limiter_visitor");
  const second = await database.session("second", "rate_limiter_visitor");
  for (const { sql: caller } of [first, second]) {
    await caller`select set_config('rate_limiter.user_id', ${operator}, false)`;
  }
  await first.sql`begin`;
  await setReservation(first.sql as never, a, { iops: 60 });
  const pending = second.start((caller) => setReservation(caller as never, b, { iops: 60 }));
  await second.waitsOnLock();
  await first.sql`commit`;
  await misfit(pending);
});
