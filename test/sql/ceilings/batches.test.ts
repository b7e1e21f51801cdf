import { describe, expect, test } from "vitest";
import type { TransactionSql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  asUser,
  makeApplication,
  makeCluster,
  makeOperator,
  makeTenant,
  publish,
  setCeiling,
} from "../control-plane.ts";

const database = await createDatabase();
const { sql } = database;
await sql`alter database ${sql(database.name)} set track_functions = 'all'`;
const operator = await makeOperator(sql);
const size = 12;

async function tenantWith(limit: number, applications = size) {
  const clusterId = await makeCluster(sql);
  const tenantId = await makeTenant(sql);
  await asUser(database, operator, (caller) =>
    setCeiling(caller, { tenantId, iops: [limit, limit, limit] }),
  );
  const appIds: string[] = [];
  for (let n = 0; n < applications; n++) {
    appIds.push(await makeApplication(sql, { tenantId, clusterId }));
  }
  return { tenantId, clusterId, appIds };
}

const publishAll = (
  caller: TransactionSql,
  quotas: readonly (readonly [string, number])[],
) => caller`
  select rate_limiter_admin.publish_quotas('test', array(
    select row(
      q.app_id, jsonb_populate_record(
        null::rate_limiter_admin.iops_limits, jsonb_build_object('iops_limit', q.most)
      ), null, null, null, 'enforce', null
    )::rate_limiter_admin.new_quota
    from unnest(${quotas.map(([id]) => id)}::uuid[], ${quotas.map(([, most]) => most)}::bigint[])
      with ordinality as q (app_id, most, place)
    order by q.place
  ))
`;

/** Runs work as the operator; answers how often it has read all of a tenant's quotas. */
const readsOf = (work: (caller: TransactionSql) => PromiseLike<unknown>) =>
  asUser(database, operator, async (caller) => {
    const before = await calls(caller);
    await work(caller);
    return (await calls(caller)) - before;
  });

async function calls(caller: TransactionSql): Promise<number> {
  const [row] = await caller<{ calls: number }[]>`
    select coalesce(sum(f.calls), 0)::integer as calls
    from pg_stat_xact_user_functions as f
    where f.funcname = 'ceiling_problem'
  `;
  return row?.calls ?? 0;
}

describe("a batch under a ceiling reads the quotas of the tenant once", () => {
  test("of quotas", async () => {
    const { appIds } = await tenantWith(size * 10);
    expect(
      await readsOf((caller) =>
        publishAll(
          caller,
          appIds.map((id) => [id, 10]),
        ),
      ),
    ).toBe(1);
  });

  test("of new applications", async () => {
    const { tenantId, clusterId } = await tenantWith(size * 10);
    await publish(sql, { defaultClusterId: clusterId, iops: 1 });
    const reads = await readsOf(
      (caller) => caller`
        select rate_limiter_admin.create_applications(array(
          select row('new ' || n, ${clusterId}::uuid, null, ${tenantId}::uuid)
            ::rate_limiter_admin.new_application
          from generate_series(1, ${size}::integer) as n
        ))
      `,
    );
    expect(reads).toBe(1);
  });

  test("of a configuration, whose ceiling it has from the start", async () => {
    const wanted = [
      { kind: "tenant", path: ["new tenant"], spec: {} },
      { kind: "ceiling", path: ["new tenant", "*"], spec: { iops: { max_limit: "1000" } } },
      ...Array.from({ length: size }, (_, n) => [
        { kind: "application", path: ["new tenant", `a${n}`], spec: {} },
        { kind: "quota", path: ["new tenant", `a${n}`], spec: { iops: { iops_limit: 10 } } },
      ]).flat(),
    ];
    const reads = await readsOf(
      (caller) => caller`
        select * from rate_limiter_admin.apply_configuration(${caller.json(wanted)}, 'test', 'test')
      `,
    );
    // Of the ceiling itself, and of all that comes under it.
    expect(reads).toBe(2);
  });
});

test("a batch that is too much together is refused, whatever its order", async () => {
  const { appIds } = await tenantWith(100, 3);
  const together = (limits: readonly number[]) =>
    asUser(database, operator, (caller) =>
      publishAll(
        caller,
        limits.map((limit, n) => [appIds[n] ?? "", limit]),
      ),
    );
  await expectSqlState(together([50, 50, 1]), "QS422");
  await together([40, 50, 10]);
  await expectSqlState(together([10, 80, 20]), "QS422");
  await together([10, 80, 10]);
});

test("of two batches at once that do not fit together one is refused", async () => {
  const { appIds } = await tenantWith(100, 4);
  const half = (from: number) =>
    asUser(database, operator, (caller) =>
      publishAll(
        caller,
        appIds.slice(from, from + 2).map((id) => [id, 30]),
      ),
    );
  const outcomes = await Promise.allSettled([half(0), half(2)]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
});

test("what is deferred and never settled is checked by the commit", async () => {
  const { appIds } = await tenantWith(100, 1);
  const defer = (limit: number) =>
    sql.begin(async (transaction) => {
      await transaction`select rate_limiter_internal.defer_ceilings()`;
      await publish(transaction, { appId: appIds[0], iops: limit });
    });
  await expectSqlState(defer(101), "QS403", "tenant ceiling is exceeded");
  await defer(100);
  expect(await sql`select from rate_limiter_internal.deferred_ceilings`).toHaveLength(0);
});

test("a ceiling that is lowered within a batch binds from then on", async () => {
  const { tenantId, appIds } = await tenantWith(100, 1);
  await publish(sql, { appId: appIds[0], iops: 100 });
  const set = (caller: TransactionSql, limit: number) => caller`
    select rate_limiter_admin.schedule_quota('test', null, null, ${appIds[0] ?? ""}, null,
      jsonb_populate_record(null::rate_limiter_admin.iops_limits, ${caller.json({ iops_limit: limit })}))
  `;
  const lower = (after: number) =>
    asUser(database, operator, async (caller) => {
      await caller`select rate_limiter_internal.defer_ceilings()`;
      await set(caller, 50);
      await setCeiling(caller, { tenantId, iops: [60, 60, 60] });
      await set(caller, after);
      await caller`select rate_limiter_internal.check_deferred_ceilings()`;
    });
  await expectSqlState(lower(61), "QS403");
  await lower(60);
});
