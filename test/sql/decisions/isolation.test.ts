import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState, type Role } from "../../harness/index.ts";
import {
  dataPlane,
  limitedApplication,
  makeAdministrator,
  makeCluster,
  publish,
} from "../world.ts";

const message = "transaction isolation is not read committed";
const refusedLevels = ["repeatable read", "serializable"] as const;

const database = await createDatabase();
const { sql } = database;
const clusterId = await makeCluster(sql);
await publish(sql, { clusterId }, { iops: 100, burst: 1000 });
const appId = await limitedApplication(
  sql,
  { iops: 100, burst: 1000, bytes: 10_000 },
  { clusterId },
);
await sql`update rate_limiter.applications set auto_borrow = true`;
const administrator = await makeAdministrator(sql);

/** A session whose transactions all begin at this level, as a login or a server may set it. */
async function sessionAt(level: string, role: Role): Promise<Sql> {
  const session = await database.session(`${role} at ${level}`, role);
  await session.sql`select set_config('default_transaction_isolation', ${level}, false)`;
  await session.sql`select set_config('rate_limiter.user_id', ${administrator}, false)`;
  return session.sql;
}

/** Functions that change what they find, each called without arguments that mean anything. */
async function changingFunctions(schema: string, role: Role): Promise<string[]> {
  const rows = await sql`
    select format(
      '%s(%s)',
      p.oid::regproc,
      (
        select string_agg(format('null::%s', t.type::regtype), ', ' order by t.ordinality)
        from unnest(p.proargtypes) with ordinality as t (type, ordinality)
      )
    ) as call
    from pg_proc as p
    where p.pronamespace = ${schema}::regnamespace
      and p.provolatile = 'v'
      and has_function_privilege(${role}, p.oid, 'execute')
    order by call
  `;
  return rows.map((row) => row.call);
}

/** An application has to be there for them to be asked. */
const decisions = [
  `rate_limiter.consume('${appId}', 'head')`,
  `rate_limiter.consume('${appId}', 'head', 10, 'upload')`,
];

/** They end sessions of the caller's own, or write the audit alone. */
const harmless = /^rate_limiter_admin\.(logout|logout_everywhere|begin_export)\(/;

describe.each(refusedLevels)("a transaction at %s", (level) => {
  test("is refused every function of gateways that changes something", async () => {
    const before = await dataPlane(sql);
    const session = await sessionAt(level, "rate_limiter_app");
    const calls = (await changingFunctions("rate_limiter", "rate_limiter_app")).filter(
      (call) => !call.startsWith("rate_limiter.consume("),
    );
    for (const call of [...decisions, ...calls.filter((call) => !/with_key/.test(call))]) {
      const error = await expectSqlState(session.unsafe(`select ${call}`), "QS422", message);
      expect(error.hint).toContain("default_transaction_isolation");
    }
    expect(await dataPlane(sql)).toEqual(before);
  });

  test("is refused a decision by key, also where the session waits for no disk", async () => {
    const [key] = await sql`select api_key from rate_limiter_private.issue_api_key(${appId})`;
    const session = await sessionAt(level, "rate_limiter_app");
    for (const commit of ["on", "off"]) {
      await session`select set_config('synchronous_commit', ${commit}, false)`;
      const call = session`select rate_limiter.consume_with_key(${key?.api_key}, 'head')`;
      await expectSqlState(call, "QS422", message);
    }
  });

  test("is refused every function of the admin API that changes something", async () => {
    const session = await sessionAt(level, "rate_limiter_visitor");
    const calls = await changingFunctions("rate_limiter_admin", "rate_limiter_visitor");
    for (const call of calls.filter((call) => !harmless.test(call))) {
      await expectSqlState(session.unsafe(`select ${call}`), "QS422", message);
    }
  });

  test("may read: what a decision would be, what operations cost, who is signed in", async () => {
    const session = await sessionAt(level, "rate_limiter_app");
    const [row] = await session`select (rate_limiter.check_limit(${appId}, 'head')).allowed`;
    expect(row?.allowed).toBe(true);
    await session`select * from rate_limiter.cost_rules_in_force(${appId})`;
    const visitor = await sessionAt(level, "rate_limiter_visitor");
    await visitor`select * from rate_limiter_admin.viewer()`;
  });
});

test("a transaction at read uncommitted, which PostgreSQL takes for read committed, is served", async () => {
  const session = await sessionAt("read uncommitted", "rate_limiter_app");
  const [row] = await session`select (rate_limiter.consume(${appId}, 'head')).allowed`;
  expect(row?.allowed).toBe(true);
  await session`select rate_limiter.lease_tokens(${appId}, 1, 1)`;
});
