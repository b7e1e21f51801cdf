import { describe, expect, test } from "vitest";
import type { TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { makeTenant } from "./world.ts";

const database = await createDatabase();
const world = await makeTenant(database, "integrity");
const { tenantId, clusterId, appId, configId, alertId, users } = world;

type Statement = (sql: TransactionSql) => PromiseLike<unknown>;

/** As the administrator of the database: constraints bind everybody. */
function refused(statement: Statement, code: string, message?: string) {
  return database.withTransaction("rate_limiter_owner", {}, (sql) =>
    expectSqlState(statement(sql), code, message),
  );
}

const check = "23514";
const exclusion = "23P01";
const notNull = "23502";
const unique = "23505";

const refusals: Readonly<Record<string, readonly [Statement, string]>> = {
  "a blank tenant": [
    (sql) => sql`insert into rate_limiter.tenants (name) values (E' \\t\\n')`,
    check,
  ],
  "a blank application": [
    (sql) => sql`insert into rate_limiter.applications (tenant_id, name) values (${tenantId}, '')`,
    check,
  ],
  "a blank cluster": [
    (sql) => sql`insert into rate_limiter.clusters (name, region) values (' ', 'x')`,
    check,
  ],
  "a cluster in poor health of an unknown kind": [
    (sql) => sql`update rate_limiter.clusters set health_status = 'tired'`,
    check,
  ],
  "a blank user name": [(sql) => sql`update rate_limiter.users set username = ' '`, check],
  "a blank role": [(sql) => sql`insert into rate_limiter.roles (name) values ('')`, check],
  "an application without a tenant": [
    (sql) => sql`insert into rate_limiter.applications (name) values ('x')`,
    notNull,
  ],
  "an application's name twice in a tenant": [
    (sql) => sql`
      insert into rate_limiter.applications (tenant_id, name)
      values (${tenantId}, 'application of integrity')
    `,
    unique,
  ],
  "metadata that is no object": [
    (sql) => sql`update rate_limiter.applications set metadata = '[]'`,
    check,
  ],
  "a user's address twice in a tenant, in another case": [
    (sql) => sql`
      insert into rate_limiter.users (tenant_id, username, email)
      values (${tenantId}, 'x', 'AUDITOR@integrity.example')
    `,
    unique,
  ],
  "a role given twice": [
    (sql) => sql`
      insert into rate_limiter.user_roles (user_id, role_id)
      select user_id, role_id from rate_limiter.user_roles
    `,
    unique,
  ],
  "overlapping quotas in force": [
    (sql) => sql`insert into rate_limiter.quota_configs (app_id) values (${appId})`,
    exclusion,
  ],
  "a quota of nobody": [
    (sql) => sql`insert into rate_limiter.quota_configs (valid_from) values (now())`,
    notNull,
  ],
  "a quota of an application and a cluster": [
    (sql) => sql`
      insert into rate_limiter.quota_configs (app_id, cluster_id, is_active)
      values (${appId}, ${clusterId}, false)
    `,
    check,
  ],
  "a quota that ends before it starts": [
    (sql) => sql`
      update rate_limiter.quota_configs set valid_to = valid_from - interval '1 second'
    `,
    check,
  ],
  "a burst below the limit": [
    (sql) => sql`update rate_limiter.iops_quotas set iops_burst = iops_limit - 1`,
    check,
  ],
  "a bandwidth burst below the limit": [
    (sql) => sql`
      update rate_limiter.bandwidth_quotas set bandwidth_burst_bps = bandwidth_limit_bps - 1
    `,
    check,
  ],
  "a refill of nothing": [(sql) => sql`update rate_limiter.iops_quotas set refill_rate = 0`, check],
  "a refill above the limit": [
    (sql) => sql`update rate_limiter.iops_quotas set refill_rate = iops_limit + 1`,
    check,
  ],
  "a bandwidth refill above the limit": [
    (sql) => sql`
      update rate_limiter.bandwidth_quotas set refill_rate_bps = bandwidth_limit_bps + 1
    `,
    check,
  ],
  "overlapping cost rules": [
    (sql) => sql`
      insert into rate_limiter.cost_rules (operation_id, app_id)
      select operation_id, app_id from rate_limiter.cost_rules
    `,
    exclusion,
  ],
  "a negative cost": [(sql) => sql`update rate_limiter.cost_rules set c_base_override = -1`, check],
  "a sample that is no number": [
    (sql) => sql`
      insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_name, value)
      values (1, ${appId}, now(), 'x', 'NaN')
    `,
    check,
  ],
  "an infinite sample": [
    (sql) => sql`
      insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_name, value)
      values (1, ${appId}, now(), 'x', 'infinity')
    `,
    check,
  ],
  "fewer than no operations": [
    (sql) => sql`
      insert into rate_limiter.iops_metrics (shard_key, app_id, timestamp, read_ops)
      values (1, ${appId}, now(), -1)
    `,
    check,
  ],
  "an alert's condition of an unknown kind": [
    (sql) => sql`update rate_limiter.alert_configs set condition = '~'`,
    check,
  ],
  "an alert of no duration": [
    (sql) => sql`update rate_limiter.alert_configs set duration_seconds = 0`,
    check,
  ],
  "a resolved alert that says not when": [
    (sql) => sql`update rate_limiter.alert_history set status = 'resolved'`,
    check,
  ],
  "keeping data for less than a day": [
    (sql) => sql`
      update rate_limiter.retention_policies set retain_for = '1 hour'
      where data_type = 'token_transactions'
    `,
    check,
  ],
  "a password that is not hashed": [
    (sql) => sql`
      insert into rate_limiter_private.user_secrets (user_id, password_hash)
      values (${users.auditor}, 'secret')
    `,
    check,
  ],
  "an api key that is not hashed": [
    (sql) => sql`
      insert into rate_limiter_private.api_keys (key_hash, app_id, prefix)
      values ('qos_', ${appId}, 'qos_12345678')
    `,
    check,
  ],
};

describe("refuses", () => {
  test.each(Object.entries(refusals))("%s", async (_name, [statement, code]) => {
    await refused(statement, code);
  });

  test.each(["plain", "two@@example.com", "a@b", "a b@example.com", "@example.com", "a@.c"])(
    "the address %s",
    async (email) => {
      await refused((sql) => sql`update rate_limiter.users set email = ${email}`, check);
    },
  );

  test.each([
    ["default_interest_rate", "abc"],
    ["default_interest_rate", "-1"],
    ["default_interest_rate", "10"],
    ["default_interest_rate", "NaN"],
    ["default_interest_rate", "1e3"],
    ["default_interest_rate", ""],
    ["default_burst_duration", "1.5"],
    ["default_burst_duration", "0"],
    ["default_burst_duration", "99999999999999999999"],
    ["max_borrow_ratio", "0.5"],
    ["layer1_prefetch_ms", "1001"],
    ["decision_synchronous_commit", "maybe"],
    ["decision_synchronous_commit", "TRUE"],
  ])("the setting %s = '%s'", async (key, value) => {
    const error = await database.withTransaction("rate_limiter_owner", {}, (sql) =>
      expectSqlState(
        sql`update rate_limiter.system_settings set value = ${value} where key = ${key}`,
        "QS422",
        "setting value does not fit",
      ),
    );
    expect(error.detail).toBe(`key: ${key}`);
    expect(error.hint).toMatch(/^The value must be .+\.$/);
  });

  test("narrower bounds that the value does not fit", async () => {
    await refused(
      (sql) => sql`
        update rate_limiter.system_settings set maximum = 59 where key = 'default_burst_duration'
      `,
      "QS422",
    );
  });
});

describe("accepts", () => {
  test.each([
    ["default_interest_rate", "0"],
    ["default_interest_rate", "9.9999"],
    ["max_borrow_ratio", "2.000000001"],
    ["layer1_prefetch_ms", "0"],
    ["decision_synchronous_commit", "true"],
  ])("the setting %s = '%s'", async (key, value) => {
    const [row] = await database.withTransaction(
      "rate_limiter_owner",
      {},
      (sql) => sql`
        update rate_limiter.system_settings set value = ${value} where key = ${key}
        returning value
      `,
    );
    expect(row?.value).toBe(value);
  });

  test("overlapping quotas where one is inactive, or only measures", async () => {
    await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      await sql`
        insert into rate_limiter.quota_configs (app_id, is_active) values (${appId}, false)
      `;
      await sql`insert into rate_limiter.quota_configs (app_id, mode) values (${appId}, 'shadow')`;
    });
  });

  test("the same address with another tenant", async () => {
    await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      await sql`
        with other as (
          insert into rate_limiter.tenants (name) values ('other') returning tenant_id
        )
        insert into rate_limiter.users (tenant_id, username, email)
        select tenant_id, 'x', 'auditor@integrity.example' from other
      `;
    });
  });

  test("changes of the six roles' descriptions, not of their names", async () => {
    await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      await sql`update rate_limiter.roles set description = 'x' where name = 'auditor'`;
      await expectSqlState(
        sql`update rate_limiter.roles set name = 'x' where name = 'auditor'`,
        "QS409",
        "role comes with the system",
      );
    });
    await refused((sql) => sql`delete from rate_limiter.roles where name = 'auditor'`, "QS409");
  });
});

describe("what has history is deactivated, not deleted", () => {
  test.each<[string, Statement, string]>([
    [
      "tenant",
      (sql) => sql`delete from rate_limiter.tenants where tenant_id = ${tenantId}`,
      "tenant is in use",
    ],
    [
      "application",
      (sql) => sql`delete from rate_limiter.applications where app_id = ${appId}`,
      "application has history",
    ],
    [
      "cluster",
      (sql) => sql`delete from rate_limiter.clusters where cluster_id = ${clusterId}`,
      "cluster is in use",
    ],
    [
      "quota",
      (sql) => sql`delete from rate_limiter.quota_configs where config_id = ${configId}`,
      "quota has history",
    ],
    [
      "alert",
      (sql) => sql`delete from rate_limiter.alert_configs where alert_id = ${alertId}`,
      "alert has history",
    ],
  ])("%s", async (_name, statement, message) => {
    await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      const error = await expectSqlState(statement(sql), "QS409", message);
      expect(error.hint).toMatch(/instead/);
    });
  });

  test("a cluster whose ledger is all that is left of it", async () => {
    await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      await sql`update rate_limiter.applications set cluster_id = null`;
      await expectSqlState(
        sql`delete from rate_limiter.clusters where cluster_id = ${clusterId}`,
        "QS409",
        "cluster has history",
      );
    });
  });

  test.each(["metrics", "iops_metrics", "bandwidth_metrics"])(
    "an application with nothing but %s",
    async (table) => {
      await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
        const [app] = await sql`
          insert into rate_limiter.applications (tenant_id, name) values (${tenantId}, 'measured')
          returning app_id, shard_key
        `;
        const extra = table === "metrics" ? { metric_name: "x", value: 1 } : {};
        const row = {
          shard_key: app?.shard_key,
          app_id: app?.app_id,
          timestamp: "2026-01-01T00:00:00Z",
          ...extra,
        };
        await sql`insert into rate_limiter.${sql(table)} ${sql(row)}`;
        await expectSqlState(
          sql`delete from rate_limiter.applications where app_id = ${app?.app_id}`,
          "QS409",
        );
      });
    },
  );
});

describe("what may be deleted", () => {
  test("goes with its keys, and loses neither ledger nor audit rows", async () => {
    await database.withTransaction("rate_limiter_owner", {}, async (sql) => {
      const [app] = await sql`
        insert into rate_limiter.applications (tenant_id, name) values (${tenantId}, 'unused')
        returning app_id
      `;
      await sql`select rate_limiter_private.issue_api_key(${app?.app_id})`;
      const before = await counts(sql);
      await sql`delete from rate_limiter.applications where app_id = ${app?.app_id}`;
      const after = await counts(sql);
      expect(after.ledger).toBe(before.ledger);
      // Two more: the key's going and the application's.
      expect(after.audit).toBe(before.audit + 2);
      const [row] = await sql`
        select count(*)::integer as count from rate_limiter_audit.audit_logs
        where app_id = ${app?.app_id}
      `;
      expect(row?.count, "audit rows keep the id").toBe(4);
    });
  });

  test("a user goes, and the audit still names the user", async () => {
    const userId = users.ops_admin;
    await database.withTransaction("rate_limiter_owner", { user_id: userId }, async (sql) => {
      await sql`update rate_limiter.tenants set description = 'by ops' where tenant_id = ${tenantId}`;
      await sql`delete from rate_limiter.users where user_id = ${userId}`;
      const rows = await sql`
        select entity_type, action from rate_limiter_audit.audit_logs
        where user_id = ${userId} order by created_at
      `;
      expect(rows.map((row) => `${row.action} ${row.entity_type}`)).toContain("update tenants");
      expect(rows.map((row) => `${row.action} ${row.entity_type}`)).toContain("delete users");
    });
  });
});

async function counts(sql: TransactionSql): Promise<{ ledger: number; audit: number }> {
  const [row] = await sql`
    select
      (select count(*)::integer from rate_limiter.token_transactions) as ledger,
      (select count(*)::integer from rate_limiter_audit.audit_logs) as audit
  `;
  return row as unknown as { ledger: number; audit: number };
}

describe("updated_at", () => {
  test("moves with a change, and with nothing else", async () => {
    const [before] = await database.sql`
      update rate_limiter.tenants set description = 'changed' where tenant_id = ${tenantId}
      returning updated_at > created_at as later, updated_at
    `;
    expect(before?.later).toBe(true);
    const [after] = await database.sql`
      update rate_limiter.tenants set description = 'changed' where tenant_id = ${tenantId}
      returning updated_at
    `;
    expect(after?.updated_at).toBe(before?.updated_at);
  });

  test("is kept by a trigger on every table of the control plane that has it", async () => {
    const missing = await database.sql`
      select c.relname
      from pg_class as c
      join pg_attribute as a on a.attrelid = c.oid and a.attname = 'updated_at'
      where c.relnamespace = 'rate_limiter'::regnamespace
        and c.relkind = 'r'
        and c.relname <> 'token_buckets'
        and not exists (
          select from pg_trigger as t where t.tgrelid = c.oid and t.tgname = 'set_updated_at'
        )
    `;
    expect([...missing]).toEqual([]);
  });
});

describe("settings", () => {
  test("are read with their type", async () => {
    const [row] = await database.sql`
      select
        rate_limiter_internal.setting_integer('lease_seconds')::integer as integer,
        rate_limiter_internal.setting_numeric('max_borrow_ratio') as numeric,
        rate_limiter_internal.setting_boolean('decision_synchronous_commit') as boolean,
        rate_limiter_internal.setting_text('lease_seconds') as text,
        rate_limiter_internal.setting_interval_seconds('lease_seconds')::text as interval
    `;
    expect(row).toEqual({
      integer: 10,
      numeric: "1.5",
      boolean: false,
      text: "10",
      interval: "00:00:10",
    });
  });

  test("that do not exist are an error, not a null", async () => {
    await expectSqlState(
      database.sql`select rate_limiter_internal.setting_integer('no_such')`,
      "QS503",
      "unknown setting",
    );
  });

  test("that functions ask for all exist", async () => {
    const missing = await database.sql`
      select distinct asked.key[1] as key
      from pg_proc as p
      cross join regexp_matches(
        pg_get_functiondef(p.oid), 'setting_[a-z_]+\\(\\s*''([a-z0-9_]+)''', 'g'
      ) as asked (key)
      where starts_with(p.pronamespace::regnamespace::text, 'rate_limiter')
        and p.prokind = 'f'
        and not exists (
          select from rate_limiter.system_settings as s where s.key = asked.key[1]
        )
    `;
    expect([...missing]).toEqual([]);
  });
});
