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

test("each column that is a name has such a constraint", async () => {
  const rows = await database.sql`
    select format('%s.%s', c.conrelid::regclass, a.attname) as column
    from pg_constraint as c
    join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
    where c.conname like '%_is_readable'
  `;
  const guarded = rows.map(({ column }) => column);
  const names = await database.sql`
    select format('%s.%s', a.attrelid::regclass, a.attname) as column
    from pg_attribute as a
    join pg_class as t on t.oid = a.attrelid
    where t.relkind in ('r', 'p')
      and t.relnamespace::regnamespace::text in
        ('rate_limiter', 'rate_limiter_private', 'rate_limiter_internal')
      and a.attname in
        ('name', 'username', 'region', 'category', 'group_name', 'managed_by')
      and a.atttypid = 'varchar'::regtype
      and not a.attisdropped
  `;
  // What a process says of itself is shown to system administrators, and comes of SQL logins.
  const others = ["rate_limiter.processes.name"];
  expect(names.map(({ column }) => column).sort()).toEqual(
    expect.arrayContaining(guarded.filter((column) => !column.endsWith("metric_name"))),
  );
  expect(names.map(({ column }) => column).filter((column) => !guarded.includes(column))).toEqual(
    others,
  );
});
