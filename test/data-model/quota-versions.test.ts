import { describe, expect, test } from "vitest";
import type { TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeTwoTenants } from "./world.ts";

const database = await createDatabase();
const { mine, theirs } = await makeTwoTenants(database);

const owner = <T>(work: (sql: TransactionSql) => Promise<T>, context = {}) =>
  database.withTransaction("rate_limiter_owner", context, work);

async function versions(sql: TransactionSql, appId = mine.appId) {
  return sql`
    select
      v.version_id, v.config_id, v.change_reason, v.changed_by,
      v.old_config -> 'iops' ->> 'iops_limit' as before,
      v.new_config -> 'iops' ->> 'iops_limit' as after,
      v.new_config ->> 'valid_to' is not null as ends
    from rate_limiter_audit.quota_version_history as v
    where v.app_id = ${appId}
    order by v.changed_at
  `;
}

const iops = (limit: number) =>
  JSON.stringify({
    iops_limit: limit,
    iops_burst: limit * 2,
    burst_duration_seconds: 10,
    refill_rate: limit,
  });

async function publish(
  sql: TransactionSql,
  limit: number,
  from: string | null = null,
  to: string | null = null,
) {
  const [row] = await sql`
    select rate_limiter_internal.publish_quota_at(
      now(), ${mine.appId}, null, 'enforce',
      now() + ${from}::interval, now() + ${to}::interval, ${iops(limit)}::text::jsonb, null,
      ${`to ${limit}`}
    ) as id
  `;
  return row?.id as string;
}

/** Limits in force over time: from when, until when (in days from now), and how much. */
async function timeline(sql: TransactionSql) {
  const rows = await sql`
    select
      round(extract(epoch from c.valid_from - now()) / 86400)::integer as from,
      round(extract(epoch from c.valid_to - now()) / 86400)::integer as to,
      i.iops_limit as limit
    from rate_limiter.quota_configs as c
    join rate_limiter.iops_quotas as i on i.config_id = c.config_id
    where c.app_id = ${mine.appId} and c.is_active and c.valid_to is distinct from now()
    order by c.valid_from
  `;
  return rows.map(({ from, to, limit }) => [from, to, limit]);
}

describe("a version", () => {
  test("is one for what a transaction makes of a quota, whichever of its tables it touches", async () => {
    await owner(async (sql) => {
      await sql`
        update rate_limiter.iops_quotas set iops_limit = 50, iops_burst = 60, refill_rate = 40
      `;
      await sql`update rate_limiter.iops_quotas set iops_limit = 40`;
      await sql`update rate_limiter.bandwidth_quotas set allow_oversize = false`;
      await sql`set constraints all immediate`;
      const rows = await versions(sql);
      expect(rows.map((row) => [row.before, row.after])).toEqual([
        [null, "100"],
        ["100", "40"],
      ]);
    });
  });

  test("takes its reason and author from the request", async () => {
    const context = { change_reason: "audit finding 7", user_id: mine.users.tenant_admin };
    await owner(async (sql) => {
      await sql`update rate_limiter.iops_quotas set iops_limit = 50, refill_rate = 50`;
      await sql`set constraints all immediate`;
      const last = (await versions(sql)).at(-1);
      expect(last).toMatchObject({
        change_reason: "audit finding 7",
        changed_by: mine.users.tenant_admin,
      });
    }, context);
  });

  test("is not made of a change that changes nothing", async () => {
    await owner(async (sql) => {
      await sql`update rate_limiter.iops_quotas set iops_limit = iops_limit`;
      await sql`set constraints all immediate`;
      expect(await versions(sql)).toHaveLength(1);
    });
  });

  test("is the same in every time zone", async () => {
    await owner(async (sql) => {
      await sql`set local timezone = 'Asia/Kathmandu'`;
      await sql`select rate_limiter_internal.record_quota_version(${mine.configId})`;
      expect(await versions(sql)).toHaveLength(1);
    });
  });

  test("of a cluster's quota names the cluster", async () => {
    await owner(async (sql) => {
      await sql`
        select rate_limiter_internal.publish_quota_at(
          now(), null, ${mine.clusterId}, 'enforce', null, null, ${iops(9)}::text::jsonb, null, 'x'
        )
      `;
      const [row] = await sql`
        select app_id, cluster_id from rate_limiter_audit.quota_version_history
        where cluster_id is not null
      `;
      expect(row).toEqual({ app_id: null, cluster_id: mine.clusterId });
    });
  });

  test("is written at commit, too", async () => {
    const fresh = await createDatabase();
    await fresh.sql`
      with tenant as (insert into rate_limiter.tenants (name) values ('t') returning tenant_id),
      app as (
        insert into rate_limiter.applications (tenant_id, name)
        select tenant_id, 'a' from tenant returning app_id
      )
      insert into rate_limiter.quota_configs (app_id) select app_id from app
    `;
    const [row] = await fresh.sql`
      select count(*)::integer as count from rate_limiter_audit.quota_version_history
    `;
    expect(row?.count).toBe(1);
  });
});

describe("publish_quota_at", () => {
  test("replaces what is in force now", async () => {
    await owner(async (sql) => {
      await publish(sql, 7);
      expect(await timeline(sql)).toEqual([[0, null, 7]]);
    });
  });

  test("schedules, and what is in force ends then", async () => {
    await owner(async (sql) => {
      await publish(sql, 7, "2 days");
      expect(await timeline(sql)).toEqual([
        [0, 2, 100],
        [2, null, 7],
      ]);
    });
  });

  test("for a time only: what was in force goes on afterwards", async () => {
    await owner(async (sql) => {
      await publish(sql, 7, "2 days", "3 days");
      expect(await timeline(sql)).toEqual([
        [0, 2, 100],
        [2, 3, 7],
        [3, null, 100],
      ]);
    });
  });

  test("lasts until the next that is scheduled", async () => {
    await owner(async (sql) => {
      await publish(sql, 7, "5 days");
      await publish(sql, 8, "2 days");
      expect(await timeline(sql)).toEqual([
        [0, 2, 100],
        [2, 5, 8],
        [5, null, 7],
      ]);
    });
  });

  test.each([
    ["into another's start", "4 days", "6 days"],
    ["at another's start", "5 days", null],
  ])("refuses to reach %s", async (_name, from, to) => {
    await owner(async (sql) => {
      await publish(sql, 7, "5 days");
      await expectSqlState(publish(sql, 8, from, to), "QS409", "another quota starts in this time");
    });
  });

  test.each([
    ["in the past", "-1 seconds", null],
    ["at its own end", "1 day", "1 day"],
  ])("refuses to start %s", async (_name, from, to) => {
    await owner(async (sql) => {
      await expectSqlState(
        publish(sql, 8, from, to),
        "QS422",
        "quota must start now or later and end after it starts",
      );
    });
  });

  test("serializes two at once", async () => {
    const fresh = await createDatabase();
    const world = (await makeTwoTenants(fresh)).mine;
    const statement = (limit: number) => fresh.sql`
      select rate_limiter_internal.publish_quota_at(
        clock_timestamp(), ${world.appId}, null, 'enforce', null, null,
        ${iops(limit)}::text::jsonb, null, 'race'
      )
    `;
    const outcomes = await Promise.allSettled([1, 2, 3, 4].map(statement));
    // One that took its moment before another's start may be refused, never interleaved.
    expect(outcomes.some((outcome) => outcome.status === "fulfilled")).toBe(true);
    const [row] = await fresh.sql`
      select count(*)::integer as count from rate_limiter.v_active_quotas
      where app_id = ${world.appId}
    `;
    expect(row?.count).toBe(1);
  });
});

describe("rollback_quota", () => {
  const rollback = (sql: TransactionSql, id: string, reason: string | null = "it was too low") =>
    sql`select rate_limiter_admin.rollback_quota(${id}, ${reason}) as id`;

  test("brings an old version's limits back as a new version, with the reason", async () => {
    const fresh = await createDatabase();
    const world = (await makeTwoTenants(fresh)).mine;
    const [first] = await fresh.sql`
      select version_id from rate_limiter_audit.quota_version_history where app_id = ${world.appId}
    `;
    await fresh.sql`
      select rate_limiter_internal.publish_quota_at(
        clock_timestamp(), ${world.appId}, null, 'enforce', null, null, ${iops(5)}::text::jsonb,
        null, 'lower'
      )
    `;
    const context = { user_id: world.users.app_admin };
    await fresh.withTransaction("rate_limiter_visitor", context, async (sql) => {
      const [made] = await rollback(sql, first?.version_id);
      const [active] = await sql`
        select config_id, iops_limit, bandwidth_limit_bps from rate_limiter.quota_configs as c
        join rate_limiter.iops_quotas as i using (config_id)
        join rate_limiter.bandwidth_quotas as b using (config_id)
        where c.app_id = ${world.appId} and c.is_active and c.valid_to is null
      `;
      expect(active).toEqual({
        config_id: made?.id,
        iops_limit: 100,
        bandwidth_limit_bps: "1000",
      });
      const [version] = await sql`
        select change_reason, changed_by from rate_limiter_audit.quota_version_history
        where config_id = ${made?.id}
      `;
      expect(version).toEqual({
        change_reason: "it was too low",
        changed_by: world.users.app_admin,
      });
    });
  });

  test.each([
    ["app_viewer", "QS403", "permission denied"],
    ["auditor", "QS403", "permission denied"],
  ] as const)("is not for %s", async (role, code, message) => {
    const [version] = await database.sql`
      select version_id from rate_limiter_audit.quota_version_history where app_id = ${mine.appId}
    `;
    await database.withTransaction("rate_limiter_visitor", { user_id: mine.users[role] }, (sql) =>
      expectSqlState(rollback(sql, version?.version_id), code, message),
    );
  });

  test("does not know another tenant's versions", async () => {
    const [version] = await database.sql`
      select version_id from rate_limiter_audit.quota_version_history where app_id = ${theirs.appId}
    `;
    await database.withTransaction(
      "rate_limiter_visitor",
      { user_id: mine.users.tenant_admin },
      (sql) => expectSqlState(rollback(sql, version?.version_id), "QS404", "unknown quota version"),
    );
  });
});

test("a quota that is cancelled at the very moment it would begin never was in force", () =>
  owner(async (sql) => {
    await publish(sql, 100);
    const id = await publish(sql, 200, "1 day");
    await sql`
      select rate_limiter_internal.cancel_quota_at(c.valid_from, c, 'called off')
      from rate_limiter.quota_configs as c
      where c.config_id = ${id}
    `;
    expect(await timeline(sql)).toEqual([[0, null, 100]]);
  }));
