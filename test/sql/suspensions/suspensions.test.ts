import { describe, expect, test } from "vitest";
import type { Sql, TransactionSql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  asUser,
  makeApplication,
  makeCluster,
  makeOperator,
  makeTenant,
} from "../control-plane.ts";

const database = await createDatabase();
const { sql } = database;
const operator = await makeOperator(sql);
const gateway = database.as("rate_limiter_app");

const ask = async <T>(work: (caller: TransactionSql) => PromiseLike<T>) =>
  asUser(database, operator, work);
const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();

const suspend = (what: "application" | "tenant" | "api_key", id: string, until: string | null) =>
  ask(async (caller) => {
    const [row] = await caller`
      select s.suspension_id as id
      from rate_limiter_admin.${caller(`suspend_${what}`)}(${id}, 'a loop', ${until}) as s
    `;
    return row?.id as string;
  });
const lift = (id: string) =>
  ask((caller) => caller`select rate_limiter_admin.lift_suspension(${id}, 'mended')`);

async function suspendedUntil(appId: string): Promise<string | null> {
  const [row] = await sql`
    select suspended_until::text as until from rate_limiter.app_facts where app_id = ${appId}
  `;
  return row?.until;
}

async function makeKey(appId: string): Promise<{ readonly id: string; readonly key: string }> {
  const [row] = await sql`
    select api_key_id as id, api_key as key from rate_limiter_private.issue_api_key(${appId})
  `;
  return row as never;
}

const applicationOf = (key: string) => gateway`select rate_limiter.application_of_key(${key})`;

describe("an application", () => {
  test("is suspended until it is lifted, or until its end", async () => {
    const appId = await makeApplication(sql);
    const suspension = await suspend("application", appId, null);
    expect(await suspendedUntil(appId)).toBe("infinity");
    await lift(suspension);
    expect(await suspendedUntil(appId)).toBeNull();
    await suspend("application", appId, inAnHour());
    expect(Date.parse((await suspendedUntil(appId)) ?? "")).toBeGreaterThan(Date.now());
  });

  test("is suspended as long as the longer of its own and its tenant's suspension", async () => {
    const tenantId = await makeTenant(sql);
    const appId = await makeApplication(sql, { tenantId });
    const ofTenant = await suspend("tenant", tenantId, null);
    const own = await suspend("application", appId, inAnHour());
    expect(await suspendedUntil(appId)).toBe("infinity");
    await lift(ofTenant);
    expect(await suspendedUntil(appId)).not.toBe("infinity");
    await lift(own);
    expect(await suspendedUntil(appId)).toBeNull();
  });

  test("that a suspended tenant makes is suspended too", async () => {
    const tenantId = await makeTenant(sql);
    await suspend("tenant", tenantId, null);
    expect(await suspendedUntil(await makeApplication(sql, { tenantId }))).toBe("infinity");
  });

  test("that is suspended again has one suspension, the later one", async () => {
    const appId = await makeApplication(sql);
    const first = await suspend("application", appId, null);
    await suspend("application", appId, inAnHour());
    expect(await suspendedUntil(appId)).not.toBe("infinity");
    await expectSqlState(lift(first), "QS409", "suspension is over");
    const [row] = await sql`
      select count(*) filter (where lifted_at is null)::integer as open from rate_limiter.suspensions
      where app_id = ${appId}
    `;
    expect(row?.open).toBe(1);
  });

  test("that was suspended is not deleted and made anew", async () => {
    const appId = await makeApplication(sql);
    await lift(await suspend("application", appId, null));
    await expectSqlState(
      sql`delete from rate_limiter.applications where app_id = ${appId}`,
      "QS409",
      "application has history",
    );
  });
});

describe("a key", () => {
  test("is refused while it is suspended, and its siblings are not", async () => {
    const appId = await makeApplication(sql);
    const [suspended, other] = [await makeKey(appId), await makeKey(appId)];
    const suspension = await suspend("api_key", suspended.id, inAnHour());
    await expectSqlState(applicationOf(suspended.key), "QS401", "api key is suspended");
    await applicationOf(other.key);
    expect(await suspendedUntil(appId)).toBeNull();
    await lift(suspension);
    await applicationOf(suspended.key);
  });

  test("works again from the end of its suspension on", async () => {
    const { id, key } = await makeKey(await makeApplication(sql));
    const until = inAnHour();
    await suspend("api_key", id, until);
    const at = (moment: string) =>
      sql`select rate_limiter_internal.application_of_key_at(${moment}, ${key})`;
    await expectSqlState(at(new Date().toISOString()), "QS401", "api key is suspended");
    await at(until);
  });

  test("is not rotated while it is suspended, and may be revoked", async () => {
    const { id, key } = await makeKey(await makeApplication(sql));
    await suspend("api_key", id, null);
    await expectSqlState(
      ask((caller) => caller`select rate_limiter_admin.rotate_api_key(${id})`),
      "QS409",
      "api key is suspended",
    );
    await ask((caller) => caller`select rate_limiter_admin.revoke_api_key(${id})`);
    await expectSqlState(applicationOf(key), "QS401", "api key is revoked");
  });
});

describe("while the tenant's people hold what is to be suspended", () => {
  const finish = async () => {
    const jobs = await sql<{ id: string }[]>`
      select j.payload ->> 'suspension_id' as id
      from graphile_worker._private_jobs as j
      join graphile_worker._private_tasks as t on t.id = j.task_id
      where t.identifier = 'finish_suspension'
    `;
    await sql`select graphile_worker.complete_jobs(array(
      select j.id from graphile_worker.jobs as j where j.task_identifier = 'finish_suspension'
    ))`;
    return jobs.map(({ id }) => id);
  };
  const finishing = (id: string) => (worker: Sql) =>
    worker`
    select rate_limiter_private.finish_suspension(${id})
  `;
  const isRefused = (appId: string) =>
    expectSqlState(gateway`select rate_limiter.consume(${appId}, 'head')`, "QS403");

  test("an operator's brake waits for none of it, and a job does the rest", async () => {
    const tenantId = await makeTenant(sql);
    const [held, free] = [
      await makeApplication(sql, { tenantId }),
      await makeApplication(sql, { tenantId }),
    ];
    const people = await database.session("people");
    const worker = await database.session("worker", "rate_limiter_worker");
    await people.sql`begin`;
    await people.sql`select from rate_limiter.tenants where tenant_id = ${tenantId} for share`;
    await people.sql`
      update rate_limiter.applications set metadata = '{"x": 1}' where app_id = ${held}
    `;
    const suspension = await suspend("tenant", tenantId, null);
    await isRefused(free);
    expect(await suspendedUntil(held)).toBeNull();
    // As it would be made by what has begun before.
    const late = await people.sql`
      insert into rate_limiter.applications (tenant_id, name) values (${tenantId}, 'late')
      returning app_id
    `;
    expect(await finish()).toEqual([suspension]);
    const rest = worker.start(finishing(suspension));
    await worker.waitsOnLock();
    await people.sql`commit`;
    await rest;
    for (const appId of [held, free, late[0]?.app_id]) await isRefused(appId);
    // One that was lifted before its rest was done stays so.
    await lift(suspension);
    await finishing(suspension)(worker.sql);
    expect(await suspendedUntil(held)).toBeNull();
  });

  test("one of their applications or keys is suspended by the job, too", async () => {
    const appId = await makeApplication(sql);
    const { id, key } = await makeKey(appId);
    const people = await database.session("people of one");
    await people.sql`begin`;
    await people.sql`
      select from rate_limiter.applications where app_id = ${appId} for no key update
    `;
    await people.sql`
      select from rate_limiter_private.api_keys where api_key_id = ${id} for no key update
    `;
    const suspensions = [
      await suspend("api_key", id, null),
      await suspend("application", appId, null),
    ];
    await people.sql`commit`;
    await gateway`select rate_limiter.consume(${appId}, 'head')`;
    expect((await finish()).toSorted()).toEqual(suspensions.toSorted());
    for (const suspension of suspensions)
      await finishing(suspension)(database.as("rate_limiter_worker"));
    await isRefused(appId);
    await expectSqlState(applicationOf(key), "QS401");
  });

  test("nothing is left to a job where nothing is held", async () => {
    await suspend("tenant", await makeTenant(sql), null);
    await suspend("application", await makeApplication(sql), null);
    expect(await finish()).toEqual([]);
  });
});

describe("a suspension", () => {
  test("has a reason, and an end in the future or none", async () => {
    const appId = await makeApplication(sql);
    await expectSqlState(
      suspend("application", appId, new Date(0).toISOString()),
      "QS422",
      "suspension must end in the future",
    );
    await expectSqlState(
      suspend("application", appId, "infinity"),
      "QS422",
      "suspension must end in the future",
    );
    await expectSqlState(
      ask((caller) => caller`select rate_limiter_admin.suspend_application(${appId}, ' ')`),
      "QS422",
      "reason is missing",
    );
  });

  test("is audited with its reason", async () => {
    const tenantId = await makeTenant(sql);
    const appId = await makeApplication(sql, { tenantId });
    await lift(await suspend("application", appId, null));
    const rows = await sql`
      select l.action, l.tenant_id, l.user_id, l.new_values
      from rate_limiter_audit.audit_logs as l
      where l.entity_type = 'suspensions' and l.app_id = ${appId}
      order by l.created_at
    `;
    expect([...rows]).toMatchObject([
      {
        action: "insert",
        tenant_id: tenantId,
        user_id: operator,
        new_values: { reason: "a loop" },
      },
      { action: "update", user_id: operator, new_values: { lift_reason: "mended" } },
    ]);
  });

  test("is told to clients and gateways, which keep what they know of an application", async () => {
    const appId = await makeApplication(sql);
    const { id } = await makeKey(appId);
    const heard: string[] = [];
    const listener = await sql.listen("rate_limiter_changes", (payload) => {
      heard.push(payload);
    });
    await suspend("application", appId, null);
    await suspend("api_key", id, null);
    await expect
      .poll(() => heard.map((payload) => JSON.parse(payload)))
      .toEqual(
        expect.arrayContaining([
          { kind: "application", owner_id: appId },
          { kind: "api_key", owner_id: appId },
        ]),
      );
    await listener.unlisten();
  });

  test("of a thing that is not there is refused", async () => {
    const none = crypto.randomUUID();
    await expectSqlState(suspend("application", none, null), "QS404", "unknown application");
    await expectSqlState(suspend("tenant", none, null), "QS404", "unknown tenant");
    await expectSqlState(suspend("api_key", none, null), "QS404", "unknown api key");
    await expectSqlState(lift(none), "QS404", "unknown suspension");
  });
});

describe("people of a suspended tenant", () => {
  const nameOf = (row: { name: string } | undefined) => row?.name;

  async function makePerson(tenantId: string): Promise<string> {
    const [row] = await sql`
      with person as (
        insert into rate_limiter.users (tenant_id, username, email)
        values (${tenantId}, ${`person of ${tenantId}`}, ${`${tenantId}@example.com`})
        returning user_id
      )
      insert into rate_limiter.user_roles (user_id, role_id)
      select p.user_id, r.role_id
      from person as p
      join rate_limiter.roles as r on r.name = 'tenant_admin'
      returning user_id as id
    `;
    return row?.id;
  }

  interface Mine {
    readonly tenantId: string;
    readonly clusterId: string;
    readonly appId: string;
    readonly colleague: string;
  }

  const changes: [string, (caller: TransactionSql, mine: Mine) => PromiseLike<unknown>][] = [
    [
      "make an application",
      (caller, { clusterId }) => caller`
        select rate_limiter_admin.create_application('another', ${clusterId})
      `,
    ],
    [
      "rename an application",
      (caller, { appId }) => caller`
        update rate_limiter.applications set name = 'renamed' where app_id = ${appId}
      `,
    ],
    [
      "delete an application",
      (caller, { appId }) => caller`
        delete from rate_limiter.applications where app_id = ${appId}
      `,
    ],
    [
      "make a key",
      (caller, { appId }) => caller`select rate_limiter_admin.create_api_key(${appId})`,
    ],
    [
      "make an alert",
      (caller, { appId }) => caller`
        insert into rate_limiter.alert_configs (
          app_id, metric_name, condition, threshold_value, duration_seconds, severity,
          notification_config
        )
        values (${appId}, 'latency', '>', 1, 60, 'info', '{"channel": "log"}')
      `,
    ],
    [
      "describe the tenant",
      (caller, { tenantId }) => caller`
        update rate_limiter.tenants set description = 'none' where tenant_id = ${tenantId}
      `,
    ],
    [
      "make a person",
      (caller, { tenantId }) => caller`
        insert into rate_limiter.users (tenant_id, username, email)
        values (${tenantId}, 'third', ${`third.${tenantId}@example.com`})
      `,
    ],
    [
      "rename a person",
      (caller, { colleague }) => caller`
        update rate_limiter.users set username = 'renamed' where user_id = ${colleague}
      `,
    ],
    [
      "take a role",
      (caller, { colleague }) => caller`
        delete from rate_limiter.user_roles where user_id = ${colleague}
      `,
    ],
  ];

  test.each(changes)("do not %s, and do when that is lifted", async (_, change) => {
    const tenantId = await makeTenant(sql);
    const clusterId = await makeCluster(sql);
    const appId = await makeApplication(sql, { tenantId, clusterId });
    const person = await makePerson(tenantId);
    const [row] = await sql`
      insert into rate_limiter.users (tenant_id, username, email)
      values (${tenantId}, 'colleague', ${`colleague.${tenantId}@example.com`})
      returning user_id as id
    `;
    const colleague = row?.id as string;
    await sql`
      insert into rate_limiter.user_roles (user_id, role_id)
      select ${colleague}, role_id from rate_limiter.roles where name = 'auditor'
    `;
    const changing = () =>
      asUser(database, person, (caller) =>
        change(caller, { tenantId, clusterId, appId, colleague }),
      );
    const suspension = await suspend("tenant", tenantId, null);
    await expectSqlState(changing(), "QS403", "tenant is suspended");
    const reading = await asUser(
      database,
      person,
      (caller) => caller<{ name: string }[]>`
        select name from rate_limiter.applications where app_id = ${appId}
      `,
    );
    expect(reading.map(nameOf)).toHaveLength(1);
    await lift(suspension);
    await changing();
  });

  test("may be the operator's own, who goes on", async () => {
    const [home] = await sql`
      select tenant_id as id from rate_limiter.users where user_id = ${operator}
    `;
    const suspension = await suspend("tenant", home?.id, null);
    const appId = await makeApplication(sql);
    await ask(
      (caller) => caller`
        update rate_limiter.applications set metadata = '{"seen": true}' where app_id = ${appId}
      `,
    );
    await lift(suspension);
  });
});
