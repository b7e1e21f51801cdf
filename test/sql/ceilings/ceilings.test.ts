import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  asUser,
  type Ceiling,
  cancel,
  flagsOf,
  makeApplication,
  makeCluster,
  makeOperator,
  makeTenant,
  publish,
  setCeiling,
  setSetting,
  year,
} from "../control-plane.ts";

const database = await createDatabase();
const { sql } = database;
const operator = await makeOperator(sql);
const give = (ceiling: Ceiling, more = {}) =>
  asUser(database, operator, (caller) => setCeiling(caller, ceiling, more));
const exceeded = (work: Promise<unknown>) =>
  expectSqlState(work, "QS403", "tenant ceiling is exceeded");

async function tenantWithCeiling(ceiling: Omit<Ceiling, "tenantId">) {
  const tenantId = await makeTenant(sql);
  await give({ tenantId, ...ceiling });
  return tenantId;
}

describe("a ceiling", () => {
  test.each([
    ["limits", { limit: 51, burst: 51 }, [100, 1e6, 1e6]],
    ["bursts", { limit: 10, burst: 51 }, [50, 100, 1e6]],
    ["capacities", { limit: 10, burst: 40, seconds: 2 }, [50, 1e6, 100]],
  ] as const)("binds %s of all applications together", async (_, limits, iops) => {
    const tenantId = await tenantWithCeiling({ iops });
    const [a, b] = [
      await makeApplication(sql, { tenantId }),
      await makeApplication(sql, { tenantId }),
    ];
    await publish(sql, { appId: a, iops: limits });
    await exceeded(publish(sql, { appId: b, iops: limits }));
    await publish(sql, { appId: b, iops: 1 });
  });

  test("of one kind leaves the other free", async () => {
    const tenantId = await tenantWithCeiling({ bandwidth: [100, 100, 100] });
    const appId = await makeApplication(sql, { tenantId });
    await publish(sql, { appId, iops: 1e9 });
    await exceeded(publish(sql, { appId, bandwidth: 101 }));
    await publish(sql, { appId, bandwidth: 100 });
  });

  test("is told with its values and those that would exceed it", async () => {
    const tenantId = await tenantWithCeiling({ iops: [100, 200, 300] });
    const appId = await makeApplication(sql, { tenantId });
    const { error } = {
      error: await exceeded(publish(sql, { appId, iops: { limit: 101, burst: 150 } })),
    };
    expect(error.detail).toMatch(
      /^tenant: \S+, kind: iops, cluster: all, at: .+, limits: 101 of 100, bursts: 150 of 200, capacities: 150 of 300$/,
    );
  });

  test("of a cluster and one for all bind both", async () => {
    const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
    const tenantId = await tenantWithCeiling({ iops: [100, 100, 100] });
    await give({ tenantId, clusterId: north, iops: [40, 40, 40] });
    const inNorth = await makeApplication(sql, { tenantId, clusterId: north });
    const inSouth = await makeApplication(sql, { tenantId, clusterId: south });
    await exceeded(publish(sql, { appId: inNorth, iops: 41 }));
    await publish(sql, { appId: inNorth, iops: 40 });
    await exceeded(publish(sql, { appId: inSouth, iops: 61 }));
    await publish(sql, { appId: inSouth, iops: 60 });
  });

  test("binds every moment of the future, and none that is over", async () => {
    const tenantId = await tenantWithCeiling({ iops: [100, 100, 100] });
    const [a, b] = [
      await makeApplication(sql, { tenantId }),
      await makeApplication(sql, { tenantId }),
    ];
    await publish(sql, { appId: a, iops: 90, from: year(2101), to: year(2102) });
    await exceeded(publish(sql, { appId: b, iops: 20, from: year(2100), to: year(2103) }));
    await publish(sql, { appId: b, iops: 20, from: year(2102), to: year(2103) });
    await publish(sql, { appId: b, iops: 20, from: year(2100), to: year(2101) });
    await exceeded(
      publish(sql, { appId: b, iops: 20 }).then(() => publish(sql, { appId: a, iops: 81 })),
    );
  });

  test("refuses to cancel what holds a larger neighbour back", async () => {
    const tenantId = await tenantWithCeiling({ iops: [100, 100, 100] });
    const [a, b] = [
      await makeApplication(sql, { tenantId }),
      await makeApplication(sql, { tenantId }),
    ];
    await publish(sql, { appId: a, iops: 80 });
    const small = await publish(sql, { appId: a, iops: 10, from: year(2101), to: year(2102) });
    await publish(sql, { appId: b, iops: 90, from: year(2101), to: year(2102) });
    await exceeded(cancel(sql, small));
  });

  test("counts no application that is inactive, until it is active again", async () => {
    const tenantId = await tenantWithCeiling({ iops: [100, 100, 100] });
    const [a, b] = [
      await makeApplication(sql, { tenantId }),
      await makeApplication(sql, { tenantId }),
    ];
    await publish(sql, { appId: a, iops: 90 });
    await sql`update rate_limiter.applications set is_active = false where app_id = ${a}`;
    await publish(sql, { appId: b, iops: 20 });
    await exceeded(
      sql`update rate_limiter.applications set is_active = true where app_id = ${a}`.execute(),
    );
  });

  test("binds an application that moves to its cluster", async () => {
    const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
    const tenantId = await tenantWithCeiling({ clusterId: north, iops: [100, 100, 100] });
    const appId = await makeApplication(sql, { tenantId, clusterId: south });
    await publish(sql, { appId, iops: 101 });
    await exceeded(
      sql`update rate_limiter.applications set cluster_id = ${north} where app_id = ${appId}`.execute(),
    );
    await publish(sql, { appId, iops: 100 });
    await sql`update rate_limiter.applications set cluster_id = ${north} where app_id = ${appId}`;
  });

  test("counts the default of a cluster for each application without a quota of that kind", async () => {
    const clusterId = await makeCluster(sql);
    const tenantId = await tenantWithCeiling({ iops: [100, 100, 100] });
    const [a, b] = [
      await makeApplication(sql, { tenantId, clusterId }),
      await makeApplication(sql, { tenantId, clusterId }),
    ];
    await publish(sql, { appId: a, iops: 30, to: year(2101) });
    // From 2101 on both applications have it.
    await exceeded(publish(sql, { defaultClusterId: clusterId, iops: 51 }));
    await publish(sql, { defaultClusterId: clusterId, iops: 50 });
    await exceeded(publish(sql, { appId: b, iops: 51 }));
    await exceeded(makeApplication(sql, { tenantId, clusterId }));
    await publish(sql, { defaultClusterId: clusterId, iops: 30 });
    await makeApplication(sql, { tenantId, clusterId });
  });

  test("is not lowered below what stands, now or later, and says what stands", async () => {
    const tenantId = await tenantWithCeiling({ iops: [100, 100, 100] });
    const appId = await makeApplication(sql, { tenantId });
    await publish(sql, { appId, iops: 60, from: year(2101) });
    const error = await expectSqlState(
      give({ tenantId, iops: [59, 100, 100] }),
      "QS409",
      "quotas exceed this ceiling",
    );
    expect(error.detail).toMatch(/at: 2101-01-01 00:00:00\+00, limits: 60 of 59,/);
    await give({ tenantId, iops: [60, 100, 100] });
  });

  test("keeps the kind that nothing is said about, and is gone with the last one", async () => {
    const tenantId = await tenantWithCeiling({ iops: [100, 100, 100] });
    await give({ tenantId, bandwidth: [5, 5, 5] });
    const rows = () => sql`
      select iops_limit, bandwidth_limit_bps from rate_limiter.tenant_ceilings
      where tenant_id = ${tenantId}
    `;
    expect([...(await rows())]).toEqual([{ iops_limit: "100", bandwidth_limit_bps: "5" }]);
    await give({ tenantId }, { removeIops: true });
    expect([...(await rows())]).toEqual([{ iops_limit: null, bandwidth_limit_bps: "5" }]);
    await give({ tenantId }, { removeBandwidth: true });
    expect(await rows()).toHaveLength(0);
  });

  test.each([
    ["(,5,5)", "max_limit is missing"],
    ["(-1,5,5)", "max_limit is negative"],
    ["(5,4,5)", "max_burst is below max_limit"],
    ["(5,5,4)", "max_capacity is below max_limit"],
    ["(5,5,5.5)", "max_capacity has a fraction"],
  ])("of %s is refused: %s", async (limits, problem) => {
    const tenantId = await makeTenant(sql);
    const error = await expectSqlState(
      asUser(
        database,
        operator,
        (caller) => caller`
          select rate_limiter_admin.set_tenant_ceiling(
            ${tenantId}, 'test', iops => ${limits}::text::rate_limiter_admin.ceiling_limits
          )
        `,
      ),
      "QS422",
      "ceiling does not fit",
    );
    expect(error.hint).toBe(`Mend this: ${problem}.`);
  });
});

describe("an application needs a quota", () => {
  const needs = async (appId: string) => {
    const { needsIopsQuota, needsBandwidthQuota } = await flagsOf(sql, appId);
    return [needsIopsQuota, needsBandwidthQuota];
  };

  test("of each kind of which a ceiling binds it, wherever it goes", async () => {
    const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
    const tenantId = await makeTenant(sql);
    const appId = await makeApplication(sql, { tenantId, clusterId: north });
    expect(await needs(appId)).toEqual([false, false]);
    await give({ tenantId, clusterId: north, iops: [1, 1, 1] });
    expect(await needs(appId)).toEqual([true, false]);
    const younger = await makeApplication(sql, { tenantId, clusterId: north });
    expect(await needs(younger)).toEqual([true, false]);
    await sql`update rate_limiter.applications set cluster_id = ${south} where app_id = ${appId}`;
    expect(await needs(appId)).toEqual([false, false]);
    await give({ tenantId, bandwidth: [1, 1, 1] });
    expect([await needs(appId), await needs(younger)]).toEqual([
      [false, true],
      [true, true],
    ]);
    await give({ tenantId }, { removeBandwidth: true });
    expect(await needs(younger)).toEqual([true, false]);
  });

  test("without a cluster under any ceiling of its tenant", async () => {
    const [tenantId, other] = [await makeTenant(sql), await makeTenant(sql)];
    const appId = await makeApplication(sql, { tenantId });
    const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
    await give({ tenantId, clusterId: north, iops: [1, 1, 1] });
    await give({ tenantId, clusterId: south, bandwidth: [1, 1, 1] });
    expect(await needs(appId)).toEqual([true, true]);
    expect(await needs(await makeApplication(sql, { tenantId }))).toEqual([true, true]);
    expect(await needs(await makeApplication(sql, { tenantId: other }))).toEqual([false, false]);
    await give({ tenantId, clusterId: north }, { removeIops: true });
    expect(await needs(appId)).toEqual([false, true]);
  });

  test("of both kinds while the setting without_quota says so", async () => {
    const appId = await makeApplication(sql);
    await setSetting(sql, "without_quota", "deny");
    expect(await needs(appId)).toEqual([true, true]);
    expect(await needs(await makeApplication(sql))).toEqual([true, true]);
    await setSetting(sql, "without_quota", "unlimited");
    expect(await needs(appId)).toEqual([false, false]);
    await expectSqlState(setSetting(sql, "without_quota", "maybe"), "QS422");
  });
});

describe("under concurrency", () => {
  test("two applications that publish at once fit the ceiling together", async () => {
    const tenantId = await tenantWithCeiling({ iops: [100, 100, 100] });
    const [a, b] = [
      await makeApplication(sql, { tenantId }),
      await makeApplication(sql, { tenantId }),
    ];
    const first = await database.session("first");
    const second = await database.session("second");
    await first.sql`begin`;
    await publish(first.sql, { appId: a, iops: 60 });
    const pending = second.start((caller) => publish(caller, { appId: b, iops: 60 }));
    await second.waitsOnLock();
    await first.sql`commit`;
    await exceeded(pending);
  });

  test("a first ceiling waits for what is being published", async () => {
    const tenantId = await makeTenant(sql);
    const appId = await makeApplication(sql, { tenantId });
    const first = await database.session("publisher");
    await first.sql`begin`;
    await publish(first.sql, { appId, iops: 60 });
    const second = await database.session("operator", "rate_limiter_visitor");
    await second.sql`select set_config('rate_limiter.user_id', ${operator}, false)`;
    const pending = second.start((caller) => setCeiling(caller, { tenantId, iops: [50, 50, 50] }));
    await second.waitsOnLock();
    await first.sql`commit`;
    await expectSqlState(pending, "QS409", "quotas exceed this ceiling");
  });

  test("an application that is being made is seen by a first ceiling", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { defaultClusterId: clusterId, iops: 60 });
    const tenantId = await makeTenant(sql);
    const first = await database.session("maker");
    await first.sql`begin`;
    await makeApplication(first.sql, { tenantId, clusterId });
    const second = await database.session("operator too", "rate_limiter_visitor");
    await second.sql`select set_config('rate_limiter.user_id', ${operator}, false)`;
    const pending = second.start((caller) => setCeiling(caller, { tenantId, iops: [50, 50, 50] }));
    await second.waitsOnLock();
    await first.sql`commit`;
    await expectSqlState(pending, "QS409", "quotas exceed this ceiling");
  });
});

// By brute force: at each moment, application by application.
test("what quotas come to is what adding them up at each moment gives", async () => {
  const [north, south] = [await makeCluster(sql), await makeCluster(sql)];
  const tenantId = await tenantWithCeiling({
    iops: [1e12, 1e12, 1e15],
    bandwidth: [1e12, 1e12, 1e15],
  });
  await give({ tenantId, clusterId: north, iops: [1e12, 1e12, 1e15] });
  const owners = [
    { appId: await makeApplication(sql, { tenantId, clusterId: north }) },
    { appId: await makeApplication(sql, { tenantId, clusterId: north }) },
    { appId: await makeApplication(sql, { tenantId, clusterId: south }) },
    { appId: await makeApplication(sql, { tenantId }) },
    { defaultClusterId: north },
    { defaultClusterId: south },
  ];
  const limits = fc.option(
    fc.record({
      limit: fc.integer({ min: 1, max: 9 }),
      burst: fc.integer({ min: 9, max: 30 }),
      seconds: fc.integer({ min: 1, max: 4 }),
    }),
    { nil: undefined },
  );
  const step = fc.record({
    owner: fc.integer({ min: 0, max: owners.length - 1 }),
    from: fc.integer({ min: 2100, max: 2106 }),
    years: fc.integer({ min: 1, max: 4 }),
    iops: limits,
    bandwidth: limits,
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), async (steps) => {
      await database.withTransaction("rate_limiter_owner", {}, async (caller) => {
        for (const { owner, from, years, iops, bandwidth } of steps) {
          await caller
            .savepoint((inner) =>
              publish(inner, {
                ...owners[owner],
                iops,
                bandwidth,
                from: year(from),
                to: year(from + years),
              }),
            )
            .catch((error) => expect(error.code).toMatch(/^QS4/));
        }
        const rows = await caller`
          with used as (
            select u.* from rate_limiter_internal.ceiling_use(clock_timestamp(), ${tenantId}) as u
          ),
          moments as (
            select c.ceiling_id, c.cluster_id, k.is_bandwidth, m.moment
            from rate_limiter.tenant_ceilings as c
            cross join (values (false), (true)) as k (is_bandwidth)
            cross join generate_series(
              timestamptz '2099-01-01 00:00+00', '2111-01-01 00:00+00', '1 year'
            ) as m (moment)
            where c.tenant_id = ${tenantId}
              and case when k.is_bandwidth then c.bandwidth_limit_bps else c.iops_limit end > 0
          )
          select
            coalesce(u.limits, 0) as limits, coalesce(u.bursts, 0) as bursts,
            coalesce(u.capacities, 0) as capacities, brute.*
          from moments as m
          left join lateral (
            select u.*
            from used as u
            where u.ceiling_id = m.ceiling_id
              and u.is_bandwidth = m.is_bandwidth
              and u.moment <= m.moment
            order by u.moment desc
            limit 1
          ) as u on true
          cross join lateral (
            select
              coalesce(sum(p.quota_limit), 0) as brute_limits,
              coalesce(sum(p.burst), 0) as brute_bursts,
              coalesce(sum(p.capacity), 0) as brute_capacities
            from rate_limiter.applications as a
            cross join lateral (
              select p.*
              from rate_limiter.quota_configs as q
              cross join lateral rate_limiter_internal.quota_parts(q.config_id) as p
              where (q.app_id = a.app_id or q.default_cluster_id = a.cluster_id)
                and q.mode = 'enforce'
                and q.is_active
                and q.valid_from <= m.moment
                and (q.valid_to is null or q.valid_to > m.moment)
                and p.is_bandwidth = m.is_bandwidth
              order by q.app_id nulls last
              limit 1
            ) as p
            where a.tenant_id = ${tenantId}
              and (m.cluster_id is null or a.cluster_id = m.cluster_id)
          ) as brute
        `;
        expect(rows).toHaveLength(39);
        for (const row of rows) {
          expect([row.limits, row.bursts, row.capacities].map(Number)).toEqual(
            [row.brute_limits, row.brute_bursts, row.brute_capacities].map(Number),
          );
        }
      });
    }),
    { numRuns: 40 },
  );
});
