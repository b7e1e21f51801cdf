import { expect, test } from "vitest";
import { constraintHints } from "../../src/api/graphql/constraint-hints.ts";
import { serveTwoTenants } from "./world.ts";

const { database, as, mine } = await serveTwoTenants();

test("each rule that people can break says what it asks for", async () => {
  const rules = await database.sql<{ name: string }[]>`
    with writable as (
      select a.attrelid, a.attnum
      from pg_attribute as a
      where a.attnum > 0
        and starts_with(a.attrelid::regclass::text, 'rate_limiter.')
        and has_column_privilege('rate_limiter_visitor', a.attrelid, a.attnum, 'insert, update')
    )
    select c.conname as name
    from pg_constraint as c
    where c.contype in ('c', 'x', 'u')
      and exists (
        select
        from writable as w
        where w.attrelid = c.conrelid
          and (w.attnum = any (c.conkey) or c.contype = 'x')
      )
    union
    select i.indexrelid::regclass::text
    from pg_index as i
    where i.indisunique
      and not i.indisprimary
      and exists (
        select from writable as w where w.attrelid = i.indrelid and w.attnum = any (i.indkey)
      )
  `;
  const names = rules
    .map(({ name }) => name.replace(/^rate_limiter\./, ""))
    // Settings are changed by value alone, which a trigger judges.
    .filter((name) => !/^(setting|system_settings)_/.test(name));
  expect(names.length).toBeGreaterThan(30);
  expect(names.filter((name) => !(name in constraintHints))).toEqual([]);
  // Functions write what people may not: their rules have hints, too.
  const known = await database.sql<{ name: string }[]>`
    select c.conname as name from pg_constraint as c
    union
    select c.relname from pg_class as c where c.relkind = 'i'
  `;
  const all = new Set(known.map(({ name }) => name));
  expect(Object.keys(constraintHints).filter((name) => !all.has(name))).toEqual([]);
});

async function operationId(): Promise<string> {
  const [row] = await database.sql<{ id: string }[]>`
    select operation_id as id from rate_limiter.operation_types where name = 'list'
  `;
  return row?.id ?? "";
}

/** Field, input, and the code, message and constraint of the refusal. */
const refused: readonly (readonly [string, () => object | Promise<object>, string])[] = [
  [
    "createUser",
    () => ({ tenantId: mine.tenantId, username: "new", email: "nobody" }),
    "QS422 value is out of bounds user_email_format",
  ],
  [
    "createUser",
    () => ({ tenantId: mine.tenantId, username: " ", email: "new@mine.example" }),
    "QS422 value is out of bounds user_username_not_empty",
  ],
  [
    "createUser",
    () => ({ tenantId: mine.tenantId, username: "x", email: "AUDITOR@mine.example" }),
    "QS409 already exists user_tenant_email_unique",
  ],
  [
    "updateApplication",
    () => ({ appId: mine.appId, patch: { name: "  " } }),
    "QS422 value is out of bounds app_name_not_empty",
  ],
  [
    "updateApplication",
    () => ({ appId: mine.appId, patch: { metadata: "text" } }),
    "QS422 value is out of bounds app_metadata_is_object",
  ],
  [
    "updateApplication",
    () => ({ appId: mine.appId, patch: { metadata: { a: "x".repeat(16_384) } } }),
    "QS422 value is out of bounds app_metadata_size",
  ],
  [
    "updateTenant",
    () => ({ tenantId: mine.tenantId, patch: { description: "x".repeat(2_001) } }),
    "QS422 value is out of bounds tenant_description_length",
  ],
  [
    "createCostRule",
    async () => ({
      ...{ appId: mine.appId, operationId: await operationId(), cBaseOverride: "-1" },
    }),
    "QS422 value is out of bounds cost_rule_c_base_check",
  ],
  [
    "createCostRule",
    async () => ({
      ...{ appId: mine.appId, operationId: await operationId(), cBaseOverride: "1" },
      ...{ validFrom: "2100-01-01T00:00:00Z", validTo: "2099-01-01T00:00:00Z" },
    }),
    "QS422 value is out of bounds cost_rule_time_order",
  ],
  [
    "createAlertConfig",
    () => ({ ...alert, durationSeconds: 0 }),
    "QS422 value is out of bounds alert_duration_check",
  ],
  [
    "createAlertConfig",
    () => ({ ...alert, channels: [{ channel: "SLACK" }] }),
    "QS422 notification config does not fit undefined",
  ],
  ["createTenant", () => ({ name: "theirs" }), "QS409 already exists tenants_name_key"],
  [
    "createOperationType",
    () => ({ name: "odd", category: "x", unitQuantum: 0 }),
    "QS422 value is out of bounds operation_unit_quantum_check",
  ],
];
const alert = {
  ...{ appId: mine.appId, metricName: "x", condition: "GREATER_THAN", thresholdValue: 1 },
  ...{ durationSeconds: 60, severity: "INFO", channels: [] },
};

test.each(refused)(
  "%s: a value that does not fit (%#) is refused",
  async (field, input, refusal) => {
    const type = `${field[0]?.toUpperCase()}${field.slice(1)}Input`;
    const { errors = [] } = await as.system_admin.ask(
      `mutation ($input: ${type}!) { ${field}(input: $input) { clientMutationId } }`,
      { input: await input() },
    );
    expect(errors).toHaveLength(1);
    const [{ message, extensions } = { message: "", extensions: { code: "" } }] = errors;
    expect(`${extensions.code} ${message} ${extensions.constraint}`).toBe(refusal);
    expect(extensions.hint).toMatch(/\.$/);
    if (extensions.constraint !== undefined) {
      expect(extensions.hint).toBe(constraintHints[String(extensions.constraint)]);
    }
    expect(JSON.stringify(errors)).not.toMatch(/relation|violates|rate_limiter\./);
  },
);

test.each([
  [
    'mutation { login(input: { tenant: "mine", email: "a\\u0000", password: "b" }) { accessToken } }',
  ],
  ['mutation { createApplication(input: { name: "a\\u0000" }) { appId } }'],
  [`mutation { createApplication(input: { name: "a", metadata: { b: "\\u0000" } }) { appId } }`],
  ['{ tenantByName(name: "a\\u0000") { name } }'],
])("text that no text column takes is refused: %s", async (query) => {
  const { errors } = await as.system_admin.ask(query);
  expect(errors).toMatchObject([
    { message: "text cannot be stored", extensions: { code: "QS400" } },
  ]);
});

test("an update of nothing says so, with a code", async () => {
  const { errors } = await as.system_admin.ask(
    `mutation { updateApplication(input: { appId: "${mine.appId}", patch: {} }) {
      application { name } } }`,
  );
  expect(errors).toMatchObject([
    { message: expect.stringContaining("no new values"), extensions: { code: "QS400" } },
  ]);
});

test.each(["NaN", "Infinity", "0x10", " 1", ""])(
  "a BigFloat is a number: not %j",
  async (number) => {
    const costRule = { appId: mine.appId, operationId: await operationId(), cBaseOverride: number };
    const answers = await Promise.all([
      as.app_admin.ask(
        `mutation ($input: CreateCostRuleInput!) {
        createCostRule(input: $input) { clientMutationId }
      }`,
        { input: costRule },
      ),
      as.app_admin.ask(`mutation { adjustTokens(input: {
      ownerId: "${mine.appId}", bucketType: IOPS_L2, tokensChange: "${number}", reason: "r"
    }) { tokens } }`),
    ]);
    for (const { errors } of answers) {
      expect(errors?.[0]?.message).toContain("A BigFloat is written as a decimal number");
    }
  },
);

test.each([
  "{ applications(first: -1) { nodes { name } } }",
  "{ applications(first: 1, offset: -1) { nodes { name } } }",
  `mutation { borrowTokens(input: {
    ownerId: "${mine.appId}", bucketType: IOPS_L2, tokens: "1", duration: "PT999999999999H"
  }) { clientMutationId } }`,
])("a number out of range is no fault of the server: %s", async (query) => {
  const { errors } = await as.app_admin.ask(query);
  expect(errors).toMatchObject([
    { message: "number is out of range", extensions: { code: "QS422" } },
  ]);
});

test.each([
  ["{ applications(first: 1, filter: { and: [{}] }) { totalCount } }", "filter says nothing"],
  ["{ applications(first: 1, filter: { name: null }) { totalCount } }", "filter says nothing"],
  [
    '{ auditLogs(first: 1, filter: { createdAt: { lessThan: "2026-01-01T00:00:00+20:00" } }) { totalCount } }',
    "value is not of its type",
  ],
  [
    '{ auditLogs(first: 1, filter: { createdAt: { lessThan: "2026-01-01 Mars/Base" } }) { totalCount } }',
    "value is not of its type",
  ],
])("a query that makes no sense is no fault of the server: %s", async (query, message) => {
  const { errors } = await as.auditor.ask(query);
  expect(errors).toMatchObject([{ message, extensions: { code: "QS400" } }]);
});
