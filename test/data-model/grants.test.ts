import { expect, test } from "vitest";
import { createDatabase } from "../harness/index.ts";

/**
 * Who may do what, exactly: read the files in diffs, and update them with
 * `npx vitest run test/data-model/grants.test.ts -u`.
 */
const database = await createDatabase();

test("tables: every role, every right, by column where it is by column", async () => {
  const rows = await database.sql<{ line: string }[]>`
    with granted as (
      select c.oid, c.relnamespace, c.relname, g.grantee, lower(g.privilege_type) as privilege,
        null::name as column_name
      from pg_class as c
      cross join aclexplode(c.relacl) as g
      where g.grantee <> c.relowner
      union all
      select c.oid, c.relnamespace, c.relname, g.grantee, lower(g.privilege_type), a.attname
      from pg_class as c
      join pg_attribute as a on a.attrelid = c.oid
      cross join aclexplode(a.attacl) as g
      where a.attnum > 0
    )
    select
      format(
        '%s.%s %s: %s%s', g.relnamespace::regnamespace, g.relname,
        case when g.grantee = 0 then 'public' else g.grantee::regrole::text end, g.privilege,
        ' (' || string_agg(g.column_name, ', ' order by g.column_name) || ')'
      ) as line
    from granted as g
    where starts_with(g.relnamespace::regnamespace::text, 'rate_limiter')
    group by g.relnamespace, g.relname, g.grantee, g.privilege
  `;
  await expect(text(rows)).toMatchFileSnapshot("expected/table-grants.txt");
});

test("functions: every role that may execute one", async () => {
  const rows = await database.sql<{ line: string }[]>`
    select format('%s: %s', p.oid::regprocedure, string_agg(r.rolname, ', ' order by r.rolname))
      as line
    from pg_proc as p
    join pg_roles as r
      on r.rolname in (
        'rate_limiter_app', 'rate_limiter_worker', 'rate_limiter_authenticator',
        'rate_limiter_visitor', 'rate_limiter_readonly'
      )
      and has_function_privilege(r.oid, p.oid, 'execute')
    where starts_with(p.pronamespace::regnamespace::text, 'rate_limiter')
    group by p.oid
  `;
  await expect(text(rows)).toMatchFileSnapshot("expected/function-grants.txt");
});

test("schemas: every role that may use one, and none that may make things there", async () => {
  const rows = await database.sql<{ line: string }[]>`
    select format('%s: %s', n.nspname, string_agg(r.rolname, ', ' order by r.rolname)) as line
    from pg_namespace as n
    join pg_roles as r
      on r.rolname in (
        'rate_limiter_app', 'rate_limiter_worker', 'rate_limiter_authenticator',
        'rate_limiter_visitor', 'rate_limiter_readonly'
      )
      and has_schema_privilege(r.oid, n.oid, 'usage')
    where starts_with(n.nspname, 'rate_limiter')
    group by n.nspname
  `;
  await expect(text(rows)).toMatchFileSnapshot("expected/schema-grants.txt");
  const makers = await database.sql`
    select r.rolname, n.nspname
    from pg_roles as r
    cross join pg_namespace as n
    where r.rolname like 'rate\\_limiter\\_%'
      and r.rolname not in ('rate_limiter_owner', 'rate_limiter_migrator')
      and starts_with(n.nspname, 'rate_limiter')
      and has_schema_privilege(r.oid, n.oid, 'create')
  `;
  expect([...makers]).toEqual([]);
});

/** What a name says of a column that holds a secret, or what a secret can be checked with. */
const secretNames = "hash|secret|password|private_key|salt";

async function secretColumns(): Promise<string[]> {
  const rows = await database.sql<{ name: string }[]>`
    select format('%s.%s', c.oid::regclass, a.attname) as name
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
      and c.relkind in ('r', 'p', 'v', 'm')
      and not c.relispartition
      and a.attname ~ ${secretNames}
      and a.attname !~ '_at$'
    order by 1
  `;
  return rows.map((row) => row.name);
}

test("secrets are granted to no role", async () => {
  const secrets = await secretColumns();
  expect(secrets).toEqual(
    expect.arrayContaining([
      "rate_limiter_private.api_keys.key_hash",
      "rate_limiter_private.user_secrets.password_hash",
    ]),
  );
  const rows = await database.sql`
    select r.rolname, format('%s.%s', a.attrelid::regclass, a.attname) as column
    from pg_attribute as a
    cross join pg_roles as r
    where format('%s.%s', a.attrelid::regclass, a.attname) = any(${secrets})
      and r.rolname in (
        'rate_limiter_app', 'rate_limiter_worker', 'rate_limiter_authenticator',
        'rate_limiter_visitor', 'rate_limiter_readonly'
      )
      and has_column_privilege(r.oid, a.attrelid, a.attname, 'select, insert, update')
  `;
  expect([...rows]).toEqual([]);
});

test("readonly sees every table, secrets apart", async () => {
  const unseen = await database.sql<{ name: string }[]>`
    select c.oid::regclass::text as name
    from pg_class as c
    where starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
      and c.relnamespace <> 'rate_limiter_admin'::regnamespace
      and c.relkind in ('r', 'p', 'v', 'm')
      and not c.relispartition
      and not has_any_column_privilege('rate_limiter_readonly', c.oid, 'select')
    order by 1
  `;
  expect(unseen.map((row) => row.name)).toEqual([
    // Every column of it is a secret or says whose; its parent is seen.
    "rate_limiter.v_daily_quota_usage",
    // What they read is seen.
    "rate_limiter_internal.bandwidth_metrics",
    "rate_limiter_internal.deferred_ceilings",
    "rate_limiter_internal.engine_settings",
    "rate_limiter_internal.iops_metrics",
    "rate_limiter_internal.job_locks",
    "rate_limiter_internal.late_shares",
    "rate_limiter_internal.layer1_stripes",
    "rate_limiter_internal.lease_shares",
    "rate_limiter_internal.managed_objects",
    "rate_limiter_internal.metrics",
    "rate_limiter_internal.placement",
    "rate_limiter_internal.retention_lock",
    "rate_limiter_private.kept_answers",
    "rate_limiter_private.used_refresh_tokens",
  ]);
});

function text(rows: Iterable<{ line: string }>): string {
  return [...rows]
    .map((row) => `${row.line}\n`)
    .sort()
    .join("");
}

test("PUBLIC has no right on anything of ours, nor on the queue's tables and functions", async () => {
  const rows = await database.sql`
    with ours as (
      select n.oid from pg_namespace as n where n.nspname ~ '^(rate_limiter|graphile_worker)'
    ),
    acls (what, acl) as (
      select c.oid::regclass::text, coalesce(c.relacl, acldefault('r', c.relowner))
      from pg_class as c
      join ours as o on o.oid = c.relnamespace
      union all
      select p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
      from pg_proc as p
      join ours as o on o.oid = p.pronamespace
      union all
      select n.nspname::text, coalesce(n.nspacl, acldefault('n', n.nspowner))
      from pg_namespace as n
      join ours as o on o.oid = n.oid
      union all
      select t.oid::regtype::text, coalesce(t.typacl, acldefault('T', t.typowner))
      from pg_type as t
      where t.typtype in ('d', 'e') and t.typnamespace::regnamespace::text ~ '^rate_limiter'
      union all
      -- What is made from now on.
      select 'defaults of ' || d.defaclrole::regrole, d.defaclacl
      from pg_default_acl as d
      where d.defaclobjtype <> 'T'
    )
    select a.what, g.privilege_type
    from acls as a
    cross join aclexplode(a.acl) as g
    where g.grantee = 0
  `;
  expect([...rows]).toEqual([]);
});
