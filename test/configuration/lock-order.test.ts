import { describe, expect, test } from "vitest";
import { configurationOf } from "../../src/configuration/configuration.ts";
import { applyConfiguration } from "../../src/management/by-database/apply.ts";
import type { Sql, TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase, type Session } from "../harness/index.ts";
import { limitedApplication, makeAdministrator, makeTenant, publish } from "../sql/world.ts";

const database = await createDatabase();
const { sql } = database;
// A deadlock is found sooner: else each would cost its second.
await sql.unsafe(`alter database ${database.name} set deadlock_timeout = '100ms'`);
const operator = await makeAdministrator(sql);
const quota = { iops: 400, burst: 1200 };

/** A tenant with three applications on a cluster of their own; the ids are against the names. */
async function world(name: string) {
  const [cluster] = await sql`
    insert into rate_limiter.clusters (name, region) values (${name}, 'north') returning cluster_id
  `;
  const tenantId = await makeTenant(sql);
  await sql`update rate_limiter.tenants set name = ${name} where tenant_id = ${tenantId}`;
  const ids = [];
  for (let made = 0; made < 3; made++) {
    ids.push(await limitedApplication(sql, quota, { tenantId, clusterId: cluster?.cluster_id }));
  }
  const [c = "", b = "", a = ""] = ids.sort();
  const named = { a, b, c };
  for (const [app, id] of Object.entries(named)) {
    await sql`update rate_limiter.applications set name = ${app} where app_id = ${id}`;
  }
  return { name, tenantId, clusterId: cluster?.cluster_id as string, ...named };
}

async function as(user: string, name: string): Promise<Session> {
  const session = await database.session(name, "rate_limiter_visitor");
  await session.sql`select set_config('rate_limiter.user_id', ${user}, false)`;
  return session;
}

/** Someone of a tenant who may change its applications. */
async function administratorOf(tenantId: string): Promise<string> {
  const [row] = await sql`
    with made as (
      insert into rate_limiter.users (tenant_id, username, email)
      values (${tenantId}, 'own', gen_random_uuid() || '@example.org')
      returning user_id
    )
    insert into rate_limiter.user_roles (user_id, role_id)
    select m.user_id, r.role_id
    from made as m
    join rate_limiter.roles as r on r.name = 'tenant_admin'
    returning user_id
  `;
  return row?.user_id;
}

const applying = (text: string) => async (session: Sql) =>
  applyConfiguration(
    session as unknown as TransactionSql,
    configurationOf([{ file: "locks", text }]),
    { reason: "test", prune: false, takeOver: true },
  );

const lock = (session: Sql, table: string, key: string, id: string) => session`
  select from rate_limiter.${session(table)} where ${session(key)} = ${id} for no key update nowait
`;

const changed = (name: string, apps: string, rest = "") => `
tenants: {${name}: {existing: true, ${rest} applications: {${apps}}}}
`;
const noted = (app: string, cluster: string) =>
  `${app}: {cluster: ${cluster}, metadata: {noted: yes}}`;
const watched = (app: string) =>
  `${app}: {existing: true, alerts: [{when: qos_denied > 100, severity: critical, for: 5 min}]}`;

const bothDone = [
  expect.objectContaining({ status: "fulfilled" }),
  expect.objectContaining({ status: "fulfilled" }),
];

describe("apply", () => {
  test("waits for layer 2 before it has layer 1, so that a decision comes through", async () => {
    const { name, a, b, clusterId } = await world("decided");
    await publish(sql, { clusterId }, { iops: 10_000 });
    const deciding = await database.session("deciding", "rate_limiter_owner");
    await deciding.sql`begin`;
    await deciding.sql`
      select from rate_limiter.token_buckets where owner_id in (${a}, ${b}) for update
    `;
    const session = await as(operator, "applying");
    const pending = session.start(
      applying(`
clusters: {${name}: {region: north, quota: {operations: 20k/s}}}
tenants:
  ${name}:
    existing: true
    applications:
      a: {existing: true, quota: {operations: {limit: 500/s, burst: 2000/s}}}
      b: {existing: true, reservation: {operations: 10/s}}
`),
    );
    await session.waitsOnLock();
    await deciding.sql`
      select from rate_limiter.token_buckets where owner_id = ${clusterId} for update nowait
    `;
    await deciding.sql`select rate_limiter.consume(${a}, 'read_small', 1000)`;
    await deciding.sql`commit`;
    expect(await pending).toHaveLength(4);
  });

  test("holds no application while it waits for one with a lower id", async () => {
    const { name, a, b, c } = await world("ordered");
    const other = await database.session("other", "rate_limiter_owner");
    await other.sql`begin`;
    await lock(other.sql, "applications", "app_id", c);
    const session = await as(operator, "applying");
    const pending = session.start(
      applying(changed(name, ["a", "b", "c"].map((app) => noted(app, name)).join())),
    );
    await session.waitsOnLock();
    await lock(other.sql, "applications", "app_id", a);
    await lock(other.sql, "applications", "app_id", b);
    await other.sql`commit`;
    expect(await pending).toHaveLength(3);
  });

  test("comes through beside that of a tenant that it also changes, with another tenant", async () => {
    const [own, far] = [await world("own"), await world("zoned")];
    const holder = await database.session("holder", "rate_limiter_owner");
    await holder.sql`begin`;
    await lock(holder.sql, "applications", "app_id", far.c);
    const first = await as(operator, "first");
    const one = first.start(
      applying(`
tenants:
  own: {existing: true, applications: {${noted("a", "own")}, ${watched("b")}}}
  zoned: {existing: true, applications: {${noted("c", "zoned")}}}
`),
    );
    await first.waitsOnLock();
    const second = await as(await administratorOf(own.tenantId), "second");
    const two = second.start(
      applying(`managed_by: own${changed("own", [noted("b", "own"), watched("a")].join())}`),
    );
    const waits = second.waitsOnLock().catch(() => {});
    await Promise.race([two.catch(() => {}), waits]);
    await holder.sql`commit`;
    expect(await Promise.allSettled([one, two])).toEqual(bothDone);
  });

  test("waits for a suspension's end before it has an application of the tenant", async () => {
    const { name, tenantId } = await world("suspended");
    const lifting = await as(operator, "lifting");
    const [suspension] = await lifting.sql`
      select * from rate_limiter_admin.suspend_tenant(${tenantId}, 'test')
    `;
    const holder = await database.session("holder", "rate_limiter_owner");
    await holder.sql`select set_config('rate_limiter.user_id', ${operator}, false)`;
    await holder.sql`begin`;
    await lock(holder.sql, "tenants", "tenant_id", tenantId);
    const session = await as(operator, "applying");
    const text = changed(name, noted("a", name), "ceilings: {'*': {operations: 100k/s}},");
    const pending = session.start(applying(text));
    await session.waitsOnLock();
    const lifted = holder.start(
      (s) => s`select rate_limiter_admin.lift_suspension(${suspension?.suspension_id}, 'test')`,
    );
    await lifted;
    await holder.sql`commit`;
    expect(await pending).toHaveLength(2);
  });

  test("waits for a change of an operation before it has the application's facts", async () => {
    const { name, a } = await world("costed");
    const [operation] = await sql`
      select operation_id from rate_limiter.operation_types where name = 'read_large'
    `;
    const holder = await database.session("holder", "rate_limiter_owner");
    await holder.sql`begin`;
    await lock(holder.sql, "operation_types", "operation_id", operation?.operation_id);
    const session = await as(operator, "applying");
    const pending = session.start(
      applying(
        changed(name, `a: {cluster: ${name}, active: false, costs: {read_large: {base: 2}}}`),
      ),
    );
    await session.waitsOnLock();
    await holder.sql`
      select from rate_limiter.app_facts where app_id = ${a} for share nowait
    `;
    await holder.sql`commit`;
    expect(await pending).toHaveLength(2);
  });

  test("of a tenant locks nothing of another, and of a reader nothing at all", async () => {
    const [own, far] = [await world("kept"), await world("strange")];
    const holder = await database.session("holder", "rate_limiter_owner");
    await holder.sql`begin`;
    for (const id of [far.a, far.b, far.c]) await lock(holder.sql, "applications", "app_id", id);
    await lock(holder.sql, "tenants", "tenant_id", far.tenantId);
    const session = await as(await administratorOf(own.tenantId), "own");
    await expect(
      applying(changed("strange", noted("a", "strange")))(session.sql),
    ).rejects.toThrow();
    await sql`
      update rate_limiter.user_roles as ur set role_id = r.role_id
      from rate_limiter.roles as r, rate_limiter.users as u
      where r.name = 'app_viewer' and u.user_id = ur.user_id and u.tenant_id = ${own.tenantId}
    `;
    await lock(holder.sql, "applications", "app_id", own.a);
    await expect(applying(changed("kept", noted("a", "kept")))(session.sql)).rejects.toThrow();
    await holder.sql`rollback`;
  });
});
