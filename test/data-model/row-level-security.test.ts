import { describe, expect, test } from "vitest";
import type { TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeTwoTenants, type RoleName, roleNames, type TenantWorld } from "./world.ts";

const database = await createDatabase();
const { mine, theirs } = await makeTwoTenants(database);

/** What tells whose a row is: a condition that holds for the rows of one tenant alone. */
const belonging: Readonly<Record<string, (sql: TransactionSql, t: TenantWorld) => unknown>> = {
  tenants: (sql, t) => sql`tenant_id = ${t.tenantId}`,
  clusters: (sql, t) => sql`cluster_id = ${t.clusterId}`,
  applications: (sql, t) => sql`tenant_id = ${t.tenantId}`,
  users: (sql, t) => sql`tenant_id = ${t.tenantId}`,
  role_mappings: (sql, t) => sql`tenant_id = ${t.tenantId}`,
  user_roles: (sql, t) => sql`user_id = any (${Object.values(t.users)}::uuid[])`,
  cost_rules: (sql, t) => sql`app_id = ${t.appId}`,
  tenant_ceilings: (sql, t) => sql`tenant_id = ${t.tenantId}`,
  reservations: (sql, t) => sql`app_id = ${t.appId}`,
  suspensions: (sql, t) => sql`tenant_id = ${t.tenantId}`,
  quota_configs: (sql, t) => sql`app_id = ${t.appId}`,
  iops_quotas: (sql, t) => sql`config_id = ${t.configId}`,
  bandwidth_quotas: (sql, t) => sql`config_id = ${t.configId}`,
  app_facts: (sql, t) => sql`app_id = ${t.appId}`,
  token_buckets: (sql, t) => sql`owner_id = ${t.appId}`,
  token_transactions: (sql, t) => sql`owner_id = ${t.appId}`,
  token_borrowing: (sql, t) => sql`owner_id = ${t.appId}`,
  charges: (sql, t) => sql`app_id = ${t.appId}`,
  late_charges: (sql, t) => sql`app_id = ${t.appId}`,
  uncharged_counts: (sql, t) => sql`app_id = ${t.appId}`,
  token_leases: (sql, t) => sql`app_id = ${t.appId}`,
  metrics: (sql, t) => sql`app_id = ${t.appId}`,
  iops_metrics: (sql, t) => sql`app_id = ${t.appId}`,
  bandwidth_metrics: (sql, t) => sql`app_id = ${t.appId}`,
  denial_counts: (sql, t) => sql`app_id = ${t.appId}`,
  recent_denials: (sql, t) => sql`app_id = ${t.appId}`,
  v_denial_counts: (sql, t) => sql`app_id = ${t.appId}`,
  metrics_hourly: (sql, t) => sql`app_id = ${t.appId}`,
  metrics_daily: (sql, t) => sql`app_id = ${t.appId}`,
  alert_configs: (sql, t) => sql`app_id = ${t.appId}`,
  alert_history: (sql, t) => sql`app_id = ${t.appId}`,
  alert_notifications: (sql, t) => sql`app_id = ${t.appId}`,
  v_active_quotas: (sql, t) => sql`app_id = ${t.appId}`,
  v_token_bucket_status: (sql, t) => sql`owner_id = ${t.appId}`,
  v_metrics_summary_24h: (sql, t) => sql`app_id = ${t.appId}`,
  v_daily_quota_usage: (sql, t) => sql`app_id = ${t.appId}`,
  audit_logs: (sql, t) => sql`tenant_id = ${t.tenantId}`,
  quota_version_history: (sql, t) => sql`app_id = ${t.appId}`,
  reservation_history: (sql, t) => sql`app_id = ${t.appId}`,
  api_keys: (sql, t) => sql`app_id = ${t.appId}`,
  service_tokens: (sql, t) => sql`user_id = any (${Object.values(t.users)}::uuid[])`,
  grants: (sql, t) => sql`tenant_id = ${t.tenantId}`,
  invitations: (sql, t) => sql`user_id = any (${Object.values(t.users)}::uuid[])`,
  user_sessions: (sql, t) => sql`user_id = any (${Object.values(t.users)}::uuid[])`,
};
const tables = Object.keys(belonging);
/** Default alerts are those of all, to see alone. */
const ofApplications = (sql: TransactionSql) => sql`app_id is not null`;
/** The same for all: they belong to no tenant. */
const sharedTables = ["roles", "permissions", "role_permissions", "operation_types"];
const configuration = ["system_settings", "retention_policies"];
/** Of every tenant's clusters, and for system administrators alone. */
const operatorTables = ["cluster_details"];
/** Seen by system administrators alone, in the schema of what tenants see. */
const processTables = ["processes"];

function schemaOf(table: string): string {
  if (["audit_logs", "quota_version_history", "reservation_history"].includes(table)) {
    return "rate_limiter_audit";
  }
  const views = [
    "api_keys",
    "user_sessions",
    "service_tokens",
    "invitations",
    "grants",
    ...operatorTables,
  ];
  if (views.includes(table)) return "rate_limiter_admin";
  return "rate_limiter";
}

function as<T>(userId: string, work: (sql: TransactionSql) => Promise<T>): Promise<T> {
  return database.withTransaction("rate_limiter_visitor", { user_id: userId }, work);
}

async function countOf(sql: TransactionSql, table: string, tenant: TenantWorld): Promise<number> {
  const condition = belonging[table]?.(sql, tenant) as ReturnType<TransactionSql>;
  const [row] = await sql`
    select count(*)::integer as count from ${sql(schemaOf(table))}.${sql(table)} where ${condition}
  `;
  return row?.count;
}

await database.sql`
  select rate_limiter_private.start_session(now(), u.user_id, null, null)
  from rate_limiter.users as u
`;
await database.sql`
  insert into rate_limiter_private.service_tokens (token_hash, user_id, prefix, expires_at)
  select sha256(uuid_send(u.user_id)), u.user_id, 'qst_12345678', now()
  from rate_limiter.users as u
`;
await database.sql`
  insert into rate_limiter_private.invitations (token_hash, user_id, expires_at)
  select sha256(uuid_send(u.user_id)), u.user_id, now()
  from rate_limiter.users as u
`;
await database.sql`
  insert into rate_limiter.role_mappings (tenant_id, group_name, role_id)
  select t.tenant_id, 'group', r.role_id
  from rate_limiter.tenants as t
  join rate_limiter.roles as r on r.name = 'app_viewer'
`;
await database.sql`select rate_limiter_private.refresh_daily_quota_usage()`;

describe("tables that the visitor may read", () => {
  test("are all covered here", async () => {
    const readable = await database.sql<{ name: string }[]>`
      select c.relname as name
      from pg_class as c
      where starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
        and c.relkind in ('r', 'p', 'v', 'm')
        and has_any_column_privilege('rate_limiter_visitor', c.oid, 'select')
      order by 1
    `;
    expect(readable.map((row) => row.name).sort()).toEqual(
      [...tables, ...sharedTables, ...configuration, ...operatorTables, ...processTables].sort(),
    );
  });

  test.each(tables)("%s shows a system administrator the rows of both tenants", async (table) => {
    await as(mine.users.system_admin, async (sql) => {
      expect(await countOf(sql, table, mine)).toBeGreaterThan(0);
      expect(await countOf(sql, table, theirs)).toBeGreaterThan(0);
    });
  });

  test.each(tables)("%s shows a tenant's administrator the rows of one tenant", async (table) => {
    await as(mine.users.tenant_admin, async (sql) => {
      expect(await countOf(sql, table, mine)).toBeGreaterThan(0);
      expect(await countOf(sql, table, theirs)).toBe(0);
      const [all] = await sql`
        select count(*)::integer as count from ${sql(schemaOf(table))}.${sql(table)}
        where ${table === "alert_configs" ? ofApplications(sql) : sql`true`}
      `;
      expect(all?.count).toBe(await countOf(sql, table, mine));
    });
  });

  test("show nothing to a visitor who is not signed in", async () => {
    await database.withTransaction("rate_limiter_visitor", {}, async (sql) => {
      for (const table of [
        ...tables,
        ...sharedTables,
        ...configuration,
        ...operatorTables,
        ...processTables,
      ]) {
        const [row] = await sql`
          select count(*)::integer as count from ${sql(schemaOf(table))}.${sql(table)}
        `;
        expect(row?.count, table).toBe(0);
      }
    });
  });

  test("show a cluster's tokens, which all tenants share, to system administrators alone", async () => {
    const seen = (userId: string) =>
      as(userId, async (sql) => {
        const [row] = await sql`
          select
            (select count(*) from rate_limiter.token_buckets where bucket_type = 'iops_l1')
              + (select count(*) from rate_limiter.token_transactions
                where bucket_type = 'iops_l1') as count
        `;
        return Number(row?.count);
      });
    expect(await seen(mine.users.tenant_admin)).toBe(0);
    expect(await seen(mine.users.system_admin)).toBe(4);
  });
});

describe("each of the six roles", () => {
  test("reads what the matrix lets it", async () => {
    const lines: string[] = [];
    for (const role of roleNames) {
      for (const table of [
        ...tables,
        ...sharedTables,
        ...configuration,
        ...operatorTables,
        ...processTables,
      ]) {
        lines.push(`${role} ${table} ${await visibility(role, table)}`);
      }
    }
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("expected/rows-seen-by-role.txt");
  });
});

async function visibility(role: RoleName, table: string): Promise<string> {
  return as(mine.users[role], async (sql) => {
    if (belonging[table] === undefined) {
      const [row] = await sql`
        select exists (select from ${sql(schemaOf(table))}.${sql(table)}) as any
      `;
      return row?.any ? "shared" : "nothing";
    }
    const own = await countOf(sql, table, mine);
    const other = await countOf(sql, table, theirs);
    if (other > 0) return "every tenant";
    return own > 0 ? "own tenant" : "nothing";
  });
}

/** Statements that change something, one for each right that the visitor has. */
const changes: Readonly<
  Record<string, (sql: TransactionSql, t: TenantWorld) => PromiseLike<{ count: number }>>
> = {
  "insert tenants": (sql) => sql`insert into rate_limiter.tenants (name) values ('new')`,
  "update tenants": (sql, t) =>
    sql`update rate_limiter.tenants set description = 'x' where tenant_id = ${t.tenantId}`,
  "deactivate tenants": (sql, t) =>
    sql`update rate_limiter.tenants set is_active = false where tenant_id = ${t.tenantId}`,
  "rename tenants": (sql, t) =>
    sql`update rate_limiter.tenants set name = 'x' where tenant_id = ${t.tenantId}`,
  "insert clusters": (sql) =>
    sql`insert into rate_limiter.clusters (name, region) values ('new', 'x')`,
  "update clusters": (sql, t) =>
    sql`update rate_limiter.clusters set region = 'x' where cluster_id = ${t.clusterId}`,
  "update applications": (sql, t) =>
    sql`update rate_limiter.applications set name = 'x' where app_id = ${t.appId}`,
  "switch automatic borrowing of applications": (sql, t) =>
    sql`update rate_limiter.applications set auto_borrow = true where app_id = ${t.appId}`,
  "insert users": (sql, t) =>
    sql`insert into rate_limiter.users (tenant_id, username, email)
      values (${t.tenantId}, 'new', 'new@example.com')`,
  "update users": (sql, t) =>
    sql`update rate_limiter.users set username = 'x' where user_id = ${t.users.app_viewer}`,
  "update users who administer the system": (sql, t) =>
    sql`update rate_limiter.users set username = 'x' where user_id = ${t.users.system_admin}`,
  "delete users": (sql, t) =>
    sql`delete from rate_limiter.users where user_id = ${t.users.ops_admin}`,
  "insert roles": (sql) => sql`insert into rate_limiter.roles (name) values ('new')`,
  "insert user_roles": (sql, t) =>
    sql`insert into rate_limiter.user_roles (user_id, role_id)
      select ${t.users.app_viewer}, role_id from rate_limiter.roles where name = 'ops_admin'`,
  "insert user_roles of system_admin": (sql, t) =>
    sql`insert into rate_limiter.user_roles (user_id, role_id)
      select ${t.users.tenant_admin}, role_id from rate_limiter.roles where name = 'system_admin'`,
  "delete user_roles": (sql, t) =>
    sql`delete from rate_limiter.user_roles where user_id = ${t.users.app_viewer}`,
  "delete user_roles of system_admin": (sql, t) =>
    sql`delete from rate_limiter.user_roles where user_id = ${t.users.system_admin}`,
  "insert role_permissions": (sql) =>
    sql`insert into rate_limiter.role_permissions (role_id, permission_id)
      select r.role_id, p.permission_id
      from rate_limiter.roles as r, rate_limiter.permissions as p
      where r.name = 'app_viewer' and p.resource = 'token' and p.action = 'borrow'`,
  "update system_settings": (sql) =>
    sql`update rate_limiter.system_settings set value = '61' where key = 'default_burst_duration'`,
  "update retention_policies": (sql) =>
    sql`update rate_limiter.retention_policies set is_active = false
      where data_type = 'audit_logs'`,
  "update operation_types": (sql) =>
    sql`update rate_limiter.operation_types set c_base = 9 where name = 'list'`,
  "insert cost_rules": (sql, t) =>
    sql`insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override)
      select operation_id, ${t.appId}, 2 from rate_limiter.operation_types where name = 'head'`,
  "update cost_rules": (sql, t) =>
    sql`update rate_limiter.cost_rules set c_base_override = 3 where app_id = ${t.appId}`,
  "delete cost_rules": (sql, t) =>
    sql`delete from rate_limiter.cost_rules where app_id = ${t.appId}`,
  "insert alert_configs": (sql, t) =>
    sql`insert into rate_limiter.alert_configs (app_id, metric_name, condition, threshold_value,
        duration_seconds, severity, notification_config)
      values (${t.appId}, 'x', '>', 1, 1, 'info', '{}')`,
  "update alert_configs": (sql, t) =>
    sql`update rate_limiter.alert_configs set threshold_value = 2 where app_id = ${t.appId}`,
  "insert a default alert": (sql) =>
    sql`insert into rate_limiter.alert_configs (app_id, metric_name, condition, threshold_value,
        duration_seconds, severity, notification_config)
      values (null, 'x', '>', 1, 1, 'info', '{}')`,
  "update default alerts": (sql) =>
    sql`update rate_limiter.alert_configs set is_active = false where app_id is null`,
  "delete default alerts": (sql) =>
    sql`delete from rate_limiter.alert_configs where app_id is null`,
  "switch default alerts off": (sql, t) =>
    sql`update rate_limiter.tenants set has_default_alerts = false where tenant_id = ${t.tenantId}`,
};

async function outcomeOf(role: RoleName, change: string, tenant: TenantWorld): Promise<string> {
  return as(mine.users[role], async (sql) => {
    try {
      const result = await sql.savepoint((inner) => changes[change]?.(inner, tenant) as never);
      return (result as { count: number }).count > 0 ? "done" : "no row";
    } catch (error) {
      return `refused ${(error as { code: string }).code}`;
    }
  });
}

describe("changes", () => {
  test("are done by the roles that the matrix lets do them", async () => {
    const lines: string[] = [];
    for (const change of Object.keys(changes)) {
      for (const role of roleNames) {
        lines.push(`${change}, ${role}: ${await outcomeOf(role, change, mine)}`);
      }
    }
    await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot("expected/changes-by-role.txt");
  });

  const ofOneTenant = Object.keys(changes).filter(
    (change) => String(changes[change]).includes("t.") && !change.startsWith("insert tenants"),
  );
  test.each(ofOneTenant)("%s: never another tenant's, whatever the role", async (change) => {
    for (const role of roleNames.filter((name) => name !== "system_admin")) {
      expect(await outcomeOf(role, change, theirs), role).not.toBe("done");
    }
    // The statement itself is right: a user that may reach the other tenant does it.
    expect(await outcomeOf("system_admin", change, theirs)).toBe("done");
  });

  test("leave a tenant's id and a user's tenant as they are", async () => {
    await as(mine.users.system_admin, (sql) =>
      expectSqlState(
        sql`update rate_limiter.applications set tenant_id = ${theirs.tenantId}`,
        "42501",
      ),
    );
    await as(mine.users.system_admin, (sql) =>
      expectSqlState(sql`update rate_limiter.users set tenant_id = ${theirs.tenantId}`, "42501"),
    );
  });
});

describe("permissions", () => {
  const may = (userId: string, context: Record<string, string> = {}) =>
    database.withTransaction(
      "rate_limiter_visitor",
      { user_id: userId, ...context },
      async (sql) => {
        const [row] = await sql`select rate_limiter_internal.may('quota', 'read') as may`;
        return row?.may;
      },
    );

  test("end with the role's time", async () => {
    const user = theirs.users.app_viewer;
    await database.sql`
      update rate_limiter.user_roles set expires_at = now() + interval '1 hour'
      where user_id = ${user}
    `;
    expect(await may(user)).toBe(true);
    await database.sql`
      update rate_limiter.user_roles set expires_at = now() - interval '1 second'
      where user_id = ${user}
    `;
    expect(await may(user)).toBe(false);
    await database.sql`
      update rate_limiter.user_roles set expires_at = null where user_id = ${user}
    `;
  });

  test("end when the user, or the tenant, is deactivated", async () => {
    const user = theirs.users.app_viewer;
    const set = (table: string, active: boolean) =>
      database.sql`
        update rate_limiter.${database.sql(table)} set is_active = ${active}
        where tenant_id = ${theirs.tenantId}
      `;
    for (const table of ["users", "tenants"]) {
      await set(table, false);
      expect(await may(user), table).toBe(false);
      await set(table, true);
      expect(await may(user), table).toBe(true);
    }
  });

  test("end with the session", async () => {
    const user = mine.users.app_viewer;
    const [session] = await database.sql`
      select session_id from rate_limiter_private.start_session(now(), ${user}, null, null)
    `;
    const context = { session_id: session?.session_id as string };
    expect(await may(user, context)).toBe(true);
    expect(await may(mine.users.auditor, context), "somebody else's session").toBe(false);
    await database.sql`select rate_limiter_private.logout(${session?.session_id})`;
    expect(await may(user, context)).toBe(false);
  });

  test("are those of the default matrix", async () => {
    const rows = await database.sql<{ line: string }[]>`
      select r.name || ' ' || p.resource || ':' || p.action as line
      from rate_limiter.roles as r
      join rate_limiter.role_permissions as rp on rp.role_id = r.role_id
      join rate_limiter.permissions as p on p.permission_id = rp.permission_id
      order by 1
    `;
    const text = rows.map((row) => `${row.line}\n`).join("");
    await expect(text).toMatchFileSnapshot("expected/permissions-by-role.txt");
  });

  test("are asked for once a statement, not once a row", async () => {
    const plan = await as(mine.users.tenant_admin, async (sql) => {
      const rows = await sql`explain select * from rate_limiter.applications`;
      return rows.map((row) => row["QUERY PLAN"]).join("\n");
    });
    expect(plan).toMatch(/InitPlan/);
    const filter = plan.split("\n").find((line: string) => line.includes("Filter:"));
    expect(filter).not.toMatch(/may\(|is_system_admin\(|current_tenant_id\(/);
  });
});

describe("readonly", () => {
  test("sees every tenant, but no sensitive setting", async () => {
    await database.sql`
      update rate_limiter.system_settings set is_sensitive = true where key = 'lease_seconds'
    `;
    const readonly = database.as("rate_limiter_readonly");
    const [tenants] = await readonly`select count(*)::integer as count from rate_limiter.tenants`;
    expect(tenants?.count).toBe(2);
    const hidden = await readonly`
      select from rate_limiter.system_settings where key = 'lease_seconds'
    `;
    expect(hidden).toHaveLength(0);
    const seenBy = (userId: string) =>
      as(
        userId,
        async (sql) =>
          (await sql`select from rate_limiter.system_settings where key = 'lease_seconds'`).length,
      );
    expect(await seenBy(mine.users.tenant_admin)).toBe(0);
    expect(await seenBy(mine.users.system_admin)).toBe(1);
  });
});
