import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../harness/index.ts";
import { addQuota, type ClientWorld, makeWorld } from "./world.ts";

const database = await createDatabase();
const gateway = database.as("rate_limiter_app");
const unknownApp = "00000000-0000-4000-8000-000000000000";
let world: ClientWorld;

beforeEach(async () => {
  world = await makeWorld(database);
});

const limits = async (appId: string) => {
  const [row] = await gateway`select rate_limiter.limits_in_force(${appId}) as limits`;
  return row?.limits;
};

describe("cost_rules_in_force", () => {
  test("has the default and every rule that holds or will, and none that is over", async () => {
    await database.sql`
      insert into rate_limiter.cost_rules
        (operation_id, app_id, c_base_override, c_bw_override, valid_from, valid_to)
      select o.operation_id, ${world.appId}, r.c_base, r.c_bw, r.valid_from, r.valid_to
      from rate_limiter.operation_types as o
      cross join (
        values
          (9, 1, now() - interval '2 hours', now() - interval '1 hour'),
          (7.5, null, now() - interval '1 hour', now() + interval '1 hour'),
          (null, 0.25, now() + interval '1 hour', null)
      ) as r (c_base, c_bw, valid_from, valid_to)
      where o.name = 'read_small'
    `;
    const rules = await gateway`
      select c_base, c_bw, unit_quantum, is_active, valid_from is null as always,
        valid_to is null as no_end
      from rate_limiter.cost_rules_in_force(${world.appId})
      where operation = 'read_small'
    `;
    const rest = { unit_quantum: "4096", is_active: true };
    expect([...rules]).toEqual([
      { ...rest, c_base: "1.0000", c_bw: "0.0001", always: true, no_end: true },
      { ...rest, c_base: "7.5000", c_bw: "0.0001", always: false, no_end: false },
      { ...rest, c_base: "1.0000", c_bw: "0.2500", always: false, no_end: true },
    ]);
  });

  test("refuses an unknown and an inactive application", async () => {
    await expectSqlState(
      gateway`select * from rate_limiter.cost_rules_in_force(${unknownApp})`,
      "QS404",
      "unknown application",
    );
    await database.sql`
      update rate_limiter.applications set is_active = false where app_id = ${world.appId}
    `;
    await expectSqlState(
      gateway`select * from rate_limiter.cost_rules_in_force(${world.appId})`,
      "QS403",
      "application is inactive",
    );
  });
});

describe("limits_in_force", () => {
  test("is empty without quotas, and names the cluster", async () => {
    expect(await limits(world.appId)).toEqual({
      cluster_id: world.clusterId,
      changes_in_ms: null,
      limits: [],
    });
  });

  test("has both layers and both modes, in the order in which a denial names them", async () => {
    await addQuota(database, world, {
      iops: { limit: 100, burst: 150, seconds: 4 },
      bytesPerSecond: 5000,
    });
    await addQuota(database, world, {
      iops: { limit: 50, method: "leaky_bucket" },
      mode: "shadow",
    });
    await addQuota(database, { clusterId: world.clusterId }, { iops: { limit: 900 } });
    const limit = (bucket_type: string, mode: string, method: string, numbers: string) => {
      const [capacity, refill_rate, window_seconds] = numbers.split(" ");
      return {
        bucket_type,
        mode,
        method,
        capacity,
        refill_rate,
        window_seconds: Number(window_seconds),
      };
    };
    expect((await limits(world.appId)).limits).toEqual([
      limit("iops_l2", "enforce", "token_bucket", "200 100 4"),
      limit("iops_l2", "shadow", "leaky_bucket", "50 50 1"),
      limit("bandwidth_l2", "enforce", "token_bucket", "5000 5000 1"),
      limit("iops_l1", "enforce", "token_bucket", "900 900 1"),
    ]);
  });

  test("says when the next change comes, whether a quota ends or begins", async () => {
    const config = await addQuota(database, world, { iops: { limit: 100 } });
    const inTenSeconds = database.sql`clock_timestamp() + interval '10 seconds'`;
    await database.sql`
      update rate_limiter.quota_configs set valid_to = ${inTenSeconds}
      where config_id = ${config}
    `;
    const [row] = await database.sql`
      select rate_limiter_internal.limits_in_force_at(
        c.valid_to - interval '1500 milliseconds', ${world.appId}
      ) as before,
      rate_limiter_internal.limits_in_force_at(c.valid_to, ${world.appId}) as after,
      rate_limiter_internal.limits_in_force_at(
        c.valid_from - interval '1 second', ${world.appId}
      ) as ahead
      from rate_limiter.quota_configs as c
      where c.config_id = ${config}
    `;
    expect(row?.before).toMatchObject({ changes_in_ms: 1500, limits: [{ capacity: "100" }] });
    expect(row?.after).toMatchObject({ changes_in_ms: null, limits: [] });
    expect(row?.ahead).toMatchObject({ changes_in_ms: 1000, limits: [] });
  });

  test("refuses an unknown application", async () => {
    await expectSqlState(
      gateway`select rate_limiter.limits_in_force(${unknownApp})`,
      "QS404",
      "unknown application",
    );
  });
});
