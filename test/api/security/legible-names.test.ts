import { describe, expect, test } from "vitest";
import { dataOf, serveTwoTenants } from "../world.ts";

const { as, mine, database } = await serveTwoTenants();

/** Each turns, hides or ends what is shown after it. */
const marks = [
  "\n",
  "\u001b",
  "\u0085",
  "\u200b",
  "\u200f",
  "\u2028",
  "\u202e",
  "\u2066",
  "\ufeff",
];

const makes: Readonly<Record<string, (name: string) => [string, Record<string, unknown>]>> = {
  tenant: (name) => [
    "mutation ($name: String!) { createTenant(input: { name: $name }) { tenant { name } } }",
    { name },
  ],
  application: (name) => [
    "mutation ($name: String!) { createApplication(input: { name: $name }) { appId } }",
    { name },
  ],
  user: (username) => [
    `mutation ($user: CreateUserInput!) { createUser(input: $user) { user { userId } } }`,
    { user: { tenantId: mine.tenantId, username, email: "mark@mine.example" } },
  ],
  "service account": (name) => [
    `mutation ($name: String!) {
      createServiceAccount(input: { name: $name }) { serviceAccount { userId } }
    }`,
    { name },
  ],
  role: (name) => [
    "mutation ($name: String!) { createRole(input: { name: $name }) { role { name } } }",
    { name },
  ],
  key: (name) => [
    `mutation ($app: UUID!, $name: String!) {
      createApiKey(input: { appId: $app, name: $name }) { prefix }
    }`,
    { app: mine.appId, name },
  ],
};

describe.each(Object.entries(makes))("the name of a %s", (_what, make) => {
  test("is refused with a character that turns or hides text, by a constraint of its own", async () => {
    for (const mark of marks) {
      const { errors } = await as.system_admin.ask(
        ...(make(`a${mark}b`) as [string, Record<string, unknown>]),
      );
      expect(errors?.[0]?.extensions).toMatchObject({
        code: "QS422",
        constraint: expect.stringMatching(/_is_readable$/),
        hint: expect.stringContaining("turn the direction"),
      });
    }
  });

  test("may be of any script", async () => {
    await dataOf(
      as.system_admin.ask(...(make("שלום 数据 Zoë") as [string, Record<string, unknown>])),
    );
  });
});

test("a reason is refused with a character that turns or hides text", async () => {
  for (const mark of marks) {
    const { errors } = await as.tenant_admin.ask(
      `mutation ($app: UUID!, $reason: String!) {
        publishQuota(input: { appId: $app, reason: $reason, removeBandwidth: true }) {
          quota { configId }
        }
      }`,
      { app: mine.appId, reason: `a${mark}b` },
    );
    expect(errors?.[0]).toMatchObject({
      message: "reason has characters that turn or hide text",
      extensions: { code: "QS422" },
    });
  }
});

/** Each is a mutation by which a person sets a text that is not a name. */
const sets: Readonly<Record<string, (said: string) => [string, Record<string, unknown>]>> = {
  "the description of a tenant": (description) => [
    `mutation ($description: String!) {
      createTenant(input: { name: "described", description: $description }) { tenant { tenantId } }
    }`,
    { description },
  ],
  "the description of a role": (description) => [
    `mutation ($description: String!) {
      createRole(input: { name: "described", description: $description }) { role { roleId } }
    }`,
    { description },
  ],
  "a key of metadata": (key) => [
    `mutation ($metadata: JSON!) {
      createApplication(input: { name: "of keys", metadata: $metadata }) { appId }
    }`,
    { metadata: { [key]: 1 } },
  ],
  "a value in metadata": (value) => [
    `mutation ($metadata: JSON!) {
      createApplication(input: { name: "of values", metadata: $metadata }) { appId }
    }`,
    { metadata: { a: [{ b: value }] } },
  ],
};

describe.each(Object.entries(sets))("%s", (_what, set) => {
  test("is refused with a character that turns or hides text, with a hint", async () => {
    for (const mark of marks) {
      const { errors } = await as.system_admin.ask(...set(`a${mark}b`));
      expect(errors?.[0]?.extensions).toMatchObject({
        code: "QS422",
        constraint: expect.stringMatching(/_is_readable$/),
        hint: expect.stringContaining("turn the direction"),
      });
    }
  });

  test("may have backslashes, quotes and any script", async () => {
    await dataOf(as.system_admin.ask(...set('C:\\new\\table "\\" שלום 数据')));
  });
});

test("an application of a batch is refused by its entry for a name that hides text", async () => {
  const { errors } = await as.system_admin.ask(
    `mutation ($all: [NewApplicationInput!]!) {
      createApplications(input: { applications: $all }) { results { appId } }
    }`,
    { all: [{ name: "in a batch" }, { name: "in a\u202ebatch" }] },
  );
  expect(errors?.[0]?.extensions.code).toBe("QS422");
  expect(JSON.parse(`${errors?.[0]?.extensions.detail}`)).toEqual([
    { entry: 2, code: "QS422", message: "value is out of bounds" },
  ]);
});

test("a sample is refused for what its tags, its metric or its unit hides", async () => {
  const sample = {
    ...{ timestamp: new Date().toISOString(), value: 1 },
    ...{ metric_name: "temperature", unit: "degrees", tags: { a: 'C:\\new "x"' } },
  };
  const refused = [
    { ...sample, tags: { "a\u001bb": 1 } },
    { ...sample, tags: { a: ["x\u202ey"] } },
    { ...sample, metric_name: "a\u0085b" },
    { ...sample, unit: "a\u2066b" },
  ];
  const rows = await database.sql`
    select * from rate_limiter.record_metrics(
      ${mine.appId}, ${database.sql.json([sample, ...refused])}
    )
  `;
  const problem = "metric_name, unit or tags has characters that turn or hide text";
  expect(rows.map((row) => row.problem)).toEqual(refused.map(() => problem));
});

/** Columns of text without such a constraint, each with what keeps it legible or out of sight. */
const unguarded: Readonly<Record<string, readonly string[]>> = {
  "a check takes only listed words, letters or ASCII": [
    ...["alert_configs.condition", "alert_configs.severity", "alert_history.status"],
    ...["alert_notifications.event", "alert_notifications.status", "clusters.health_check_url"],
    ...["clusters.health_status", "denial_counts.reason", "processes.kind"],
    ...["recent_denials.reason", "retention_policies.action", "system_settings.key"],
    ...["system_settings.value_type", "uncharged_counts.reason", "users.email"],
    ...["audit_logs.status", "api_keys.prefix", "metric_changes.grain"],
    ...["partitioned_tables.period", "service_tokens.prefix", "user_secrets.password_hash"],
    ...["user_sessions.revoke_reason"],
  ],
  "require_reason checks it": [
    ...["suspensions.reason", "suspensions.lift_reason", "quota_version_history.change_reason"],
    ...["reservation_history.change_reason"],
  ],
  "record_metrics and its siblings check it by sample": [
    ...["bandwidth_metrics.tags", "iops_metrics.tags", "metrics.tags", "metrics.unit"],
    ...["metrics.metric_name", "metrics_daily.metric_name", "metrics_hourly.metric_name"],
    "metric_changes.metric_name",
  ],
  "it is a copy of what is checked": [
    ...["app_costs.operation", "charges.operation", "demand.operation", "audit_logs.new_values"],
    ...["audit_logs.old_values", "quota_version_history.new_config", "alert_notifications.channel"],
    ...["quota_version_history.old_config", "reservation_history.new_values"],
    ...["reservation_history.old_values", "service_tokens.permissions"],
  ],
  "migrations write it": [
    ...["permissions.action", "permissions.description", "permissions.resource"],
    ...["retention_policies.data_type", "retention_policies.rationale"],
    ...["retention_policies.setting_key", "system_settings.choices", "system_settings.description"],
    "partitioned_tables.data_type",
  ],
  "the system writes it": [
    ...["alert_history.description", "alert_history.notification_sent"],
    ...["alert_notifications.content", "alert_notifications.last_error", "clusters.health_message"],
    ...["token_borrowing.metadata", "token_transactions.metadata", "audit_logs.action"],
    ...["audit_logs.entity_type", "audit_logs.error_message", "job_locks.job"],
    ...["managed_objects.kind", "job_failures.job", "job_failures.last_error"],
    ...["job_failures.subject", "job_progress.job", "job_workers.worker_id"],
    ...["ledger_check_progress.first_gaps", "ledger_checks.first_gaps"],
    ...["partition_drains.columns", "partition_drains.partition_names"],
    "partition_drains.rest_name",
  ],
  // Programs show it as printable() does.
  "gateways and other programs say it of themselves or their requests": [
    ...["charges.reference_id", "late_charges.idempotency_key", "processes.host"],
    ...["processes.name", "processes.version", "token_leases.holder"],
    ...["token_transactions.reference_id", "audit_logs.request_id", "audit_logs.user_agent"],
    "user_sessions.user_agent",
  ],
};

test("each column of text is legible by a constraint, or for another reason named here", async () => {
  const columns = await database.sql`
    select
      format('%s.%s', t.relname, a.attname) as column,
      coalesce(bool_or(c.conname like '%_is_readable'), false) as guarded
    from pg_attribute as a
    join pg_class as t on t.oid = a.attrelid
    left join pg_constraint as c
      on c.conrelid = t.oid and c.contype = 'c' and a.attnum = any (c.conkey)
    where t.relkind in ('r', 'p')
      and not t.relispartition
      and t.relnamespace::regnamespace::text like 'rate_limiter%'
      and a.atttypid in (
        'varchar'::regtype, 'text'::regtype, 'json'::regtype, 'jsonb'::regtype,
        'text[]'::regtype, 'varchar[]'::regtype
      )
      and not a.attisdropped
    group by t.relname, a.attname
  `;
  const open = columns.filter(({ guarded }) => !guarded).map(({ column }) => column);
  expect(open.sort()).toEqual(Object.values(unguarded).flat().sort());
});

test("all such constraints refuse the same characters, those of reasons", async () => {
  const rows = await database.sql`
    select substring(source from '(?:u0001[^]]+)') as characters
    from (
      select pg_get_constraintdef(oid) from pg_constraint where conname like '%_is_readable'
      union all
      select pg_get_functiondef(oid) from pg_proc
      where proname in ('require_reason', 'sample_problem')
    ) as guards (source)
  `;
  expect(rows.length).toBeGreaterThan(20);
  expect(new Set(rows.map(({ characters }) => characters)).size).toBe(1);
});
