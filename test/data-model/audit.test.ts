import { describe, expect, test } from "vitest";
import { textEnums } from "../../src/api/graphql/enums.ts";
import type { TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase, expectSqlState, type Role } from "../harness/index.ts";
import { makeTwoTenants } from "./world.ts";

const database = await createDatabase();
const { mine, theirs } = await makeTwoTenants(database);

const context = {
  user_id: mine.users.system_admin,
  request_id: "request 1",
  ip_address: "192.0.2.1",
  user_agent: "a browser",
};

function visitor<T>(work: (sql: TransactionSql) => Promise<T>, more: object = {}): Promise<T> {
  return database.withTransaction("rate_limiter_visitor", { ...context, ...more }, work);
}

const lastRow = async (sql: TransactionSql, entity: string) => {
  const [row] = await sql`
    select * from rate_limiter_audit.audit_logs as l
    where l.entity_type = ${entity} order by l.created_at desc limit 1
  `;
  return row;
};

describe("a change by a user", () => {
  test("leaves who, what, from where, and the changed values before and after", async () => {
    await visitor(async (sql) => {
      await sql`
        update rate_limiter.applications set name = 'renamed' where app_id = ${mine.appId}
      `;
      expect(await lastRow(sql, "applications")).toMatchObject({
        tenant_id: mine.tenantId,
        app_id: mine.appId,
        user_id: context.user_id,
        action: "update",
        entity_id: mine.appId,
        old_values: { name: "application of mine" },
        new_values: { name: "renamed" },
        ip_address: "192.0.2.1",
        user_agent: "a browser",
        request_id: "request 1",
        status: "success",
      });
    });
  });

  test("leaves the whole row of what is new or gone", async () => {
    await visitor(async (sql) => {
      await sql`insert into rate_limiter.clusters (name, region) values ('new', 'south')`;
      const made = await lastRow(sql, "clusters");
      expect(made).toMatchObject({ action: "insert", old_values: null, tenant_id: null });
      expect(made?.new_values).toMatchObject({ name: "new", region: "south" });
      await sql`delete from rate_limiter.clusters where name = 'new'`;
      const gone = await lastRow(sql, "clusters");
      expect(gone).toMatchObject({ action: "delete", new_values: null });
      expect(gone?.old_values).toMatchObject({ name: "new", region: "south" });
    });
  });

  test("that changes nothing leaves nothing", async () => {
    await visitor(async (sql) => {
      const count = async () => {
        const [row] = await sql`
          select count(*)::integer as count from rate_limiter_audit.audit_logs
        `;
        return row?.count;
      };
      const before = await count();
      await sql`update rate_limiter.applications set name = name`;
      expect(await count()).toBe(before);
    });
  });

  test("belongs to the tenant that it concerns, not to who did it", async () => {
    await visitor(async (sql) => {
      await sql`
        insert into rate_limiter.user_roles (user_id, role_id)
        select ${theirs.users.auditor}, r.role_id from rate_limiter.roles as r
        where r.name = 'app_viewer'
      `;
      expect(await lastRow(sql, "user_roles")).toMatchObject({ tenant_id: theirs.tenantId });
      await sql`delete from rate_limiter.cost_rules where app_id = ${theirs.appId}`;
      expect(await lastRow(sql, "cost_rules")).toMatchObject({
        tenant_id: theirs.tenantId,
        app_id: theirs.appId,
      });
    });
  });

  test("says that a secret changed, and not to what", async () => {
    await visitor(async (sql) => {
      await sql`
        update rate_limiter.alert_configs
        set notification_config = '{"channel": "webhook", "url": "https://example.com/secret"}'
        where app_id = ${mine.appId}
      `;
      expect(await lastRow(sql, "alert_configs")).toMatchObject({
        old_values: {},
        new_values: { secrets_changed: ["notification_config"] },
      });
    });
  });

  test("shows a setting's value unless it is sensitive", async () => {
    await visitor(async (sql) => {
      await sql`
        update rate_limiter.system_settings set value = '11' where key = 'lease_seconds'
      `;
      expect(await lastRow(sql, "system_settings")).toMatchObject({
        old_values: { value: "10" },
        new_values: { value: "11", updated_by: context.user_id },
      });
    });
    await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      await sql`
        update rate_limiter.system_settings set is_sensitive = true where key = 'lease_seconds'
      `;
      await sql`
        update rate_limiter.system_settings set value = '12' where key = 'lease_seconds'
      `;
      const row = await lastRow(sql, "system_settings");
      expect(row?.new_values).toMatchObject({ secrets_changed: ["value"] });
      expect(JSON.stringify(row)).not.toContain('"12"');
    });
  });
});

describe("a change in SQL", () => {
  test("leaves the database role where no user is signed in", async () => {
    const [row] = await database.sql`
      with changed as (
        update rate_limiter.tenants set description = 'by hand' where tenant_id = ${mine.tenantId}
        returning tenant_id
      )
      select tenant_id, session_user::text as login from changed
    `;
    const [audit] = await database.sql`
      select user_id, user_agent from rate_limiter_audit.audit_logs
      where entity_id = ${mine.tenantId} order by created_at desc limit 1
    `;
    expect(audit).toEqual({ user_id: null, user_agent: `database role ${row?.login}` });
  });

  test("is audited on every table of the control plane", async () => {
    const unaudited = await database.sql<{ name: string }[]>`
      select c.relname as name
      from pg_class as c
      where c.relnamespace = 'rate_limiter'::regnamespace
        and c.relkind in ('r', 'p')
        and not exists (
          select from pg_trigger as t where t.tgrelid = c.oid and t.tgname = 'audit_change'
        )
      order by 1
    `;
    expect(unaudited.map((row) => row.name)).toEqual([
      // The data plane: functions write its audit. Alerts as they happen: jobs and the functions
      // of the admin API write them. Permissions: no role writes. Processes report themselves.
      "alert_history",
      "alert_notifications",
      "app_costs",
      "app_facts",
      "bandwidth_metrics",
      "charges",
      "denial_counts",
      "iops_metrics",
      "late_charges",
      "metrics",
      "metrics_daily",
      "metrics_hourly",
      "permissions",
      "processes",
      "recent_denials",
      "token_borrowing",
      "token_buckets",
      "token_leases",
      "token_transactions",
      "uncharged_counts",
    ]);
  });
});

test("each kind and action of the audit has a name in the API", async () => {
  const [found] = await database.sql<{ tables: string[]; calls: string[][] }[]>`
    select
      array(
        select c.relname::text
        from pg_trigger as t
        join pg_class as c on c.oid = t.tgrelid
        where t.tgname = 'audit_change'
      ) as tables,
      array(
        select c.words
        from pg_proc as p
        cross join lateral regexp_matches(
          p.prosrc, 'perform rate_limiter_internal\\.write_(?:bucket_)?audit\\(\\s*(\\S+), (\\S+),', 'g'
        ) as c (words)
      ) as calls
  `;
  // What is not a text there: the reason of an end of a session, and what is exported.
  const variables = ["end_session.reason", "resource"];
  const texts = (index: number) =>
    (found?.calls ?? [])
      .map((words) => words[index] ?? "")
      .filter((word) => !variables.includes(word))
      .map((word) => word.replaceAll("'", ""));
  expect(found?.calls.length).toBeGreaterThan(15);
  const entityTypes = Object.keys(textEnums.AuditEntityType?.values ?? {});
  const used = [...(found?.tables ?? []), ...texts(1), "metrics", "audit"];
  expect(entityTypes.sort()).toEqual([...new Set(used)].sort());
  const actions = Object.keys(textEnums.AuditAction?.values ?? {});
  expect(actions).toEqual(expect.arrayContaining(texts(0)));
  expect(actions).toEqual(
    expect.arrayContaining(Object.keys(textEnums.SessionEndReason?.values ?? {})),
  );
});

describe("audit rows", () => {
  const tables = ["audit_logs", "quota_version_history"];
  const applicationRoles: Role[] = [
    "rate_limiter_app",
    "rate_limiter_worker",
    "rate_limiter_authenticator",
    "rate_limiter_visitor",
    "rate_limiter_readonly",
  ];

  test.each(applicationRoles)("are not written, changed or deleted by %s", async (role) => {
    for (const table of tables) {
      for (const right of ["insert", "update", "delete", "truncate"]) {
        const [row] = await database.sql`
          select has_table_privilege(${role}, ${`rate_limiter_audit.${table}`}, ${right}) as may
        `;
        expect(row?.may, `${table} ${right}`).toBe(false);
      }
    }
  });

  test("are not changed by their owner either", async () => {
    for (const statement of [
      "update rate_limiter_audit.audit_logs set action = 'x'",
      "delete from rate_limiter_audit.audit_logs",
      "delete from rate_limiter_audit.quota_version_history",
      "update rate_limiter_audit.quota_version_history set change_reason = 'x'",
    ]) {
      await database.withTransaction("rate_limiter_owner", {}, (sql) =>
        expectSqlState(sql.unsafe(statement), "QS403"),
      );
    }
  });

  test("may be marked as archived", async () => {
    await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      const result = await sql`
        update rate_limiter_audit.quota_version_history set archived_at = now()
      `;
      expect(result.count).toBeGreaterThan(0);
    });
  });
});

describe("search_audit", () => {
  const search = (user: string, filter: { containing?: string; action?: string } = {}) =>
    database.withTransaction("rate_limiter_visitor", { user_id: user }, async (sql) => {
      const rows = await sql`
        select * from rate_limiter_admin.search_audit(
          now() - interval '1 day', now() + interval '1 day',
          containing => ${filter.containing ?? null}, action => ${filter.action ?? null}
        )
      `;
      return [...rows];
    });

  test("finds any part of a value, whatever its case", async () => {
    const rows = await search(mine.users.auditor, { containing: "APPLICATION of m" });
    expect(rows.map((row) => row.entity_type)).toEqual(["applications"]);
  });

  test("takes what people type as text, not as a pattern", async () => {
    expect(await search(mine.users.auditor, { containing: "%%%" })).toEqual([]);
    expect(await search(mine.users.auditor, { containing: "a_plication" })).toEqual([]);
    expect(await search(mine.users.auditor, { containing: "\\\\\\" })).toEqual([]);
  });

  test("stays within the tenant, unless for system administrators", async () => {
    const tenants = (rows: { tenant_id?: unknown }[]) => new Set(rows.map((row) => row.tenant_id));
    expect(tenants(await search(mine.users.auditor))).toEqual(new Set([mine.tenantId]));
    const all = tenants(await search(mine.users.system_admin));
    expect(all).toEqual(new Set([null, mine.tenantId, theirs.tenantId]));
  });

  test("filters by action, newest first", async () => {
    const rows = await search(mine.users.auditor, { action: "insert" });
    expect(new Set(rows.map((row) => row.action))).toEqual(new Set(["insert"]));
    const moments = rows.map((row) => String(row.created_at));
    expect(moments).toEqual([...moments].sort().reverse());
  });

  test("is for who may read the audit", async () => {
    await database.withTransaction(
      "rate_limiter_visitor",
      { user_id: mine.users.app_admin },
      (sql) =>
        expectSqlState(
          sql`select rate_limiter_admin.search_audit(now() - interval '1 day', now())`,
          "QS403",
          "permission denied",
        ),
    );
  });
});
