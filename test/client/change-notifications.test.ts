import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { connect } from "../../src/postgres/connect.ts";
import { createDatabase } from "../harness/index.ts";
import { addQuota, type ClientWorld, makeWorld } from "./world.ts";

const database = await createDatabase();
let world: ClientWorld;

beforeEach(async () => {
  world = await makeWorld(database);
});

/** What a gateway hears of `change`: everything that was told up to a mark set after it. */
async function heard(change: () => Promise<unknown>): Promise<unknown[]> {
  const sql = connect(database.urlAs("rate_limiter_app"));
  onTestFinished(() => sql.end());
  const told: unknown[] = [];
  const marked = Promise.withResolvers<void>();
  await sql.listen("rate_limiter_changes", (payload) => {
    if (payload === "mark") marked.resolve();
    else told.push(JSON.parse(payload));
  });
  await change();
  await database.sql`select pg_notify('rate_limiter_changes', 'mark')`;
  await marked.promise;
  return told;
}

describe("clients are told of", () => {
  test("a quota of an application, once for all its parts", async () => {
    const told = await heard(() =>
      addQuota(database, world, { iops: { limit: 5 }, bytesPerSecond: 9 }),
    );
    expect(told).toEqual([{ kind: "quota", owner_id: world.appId }]);
  });

  test("a quota of a cluster", async () => {
    const owner = { clusterId: world.clusterId };
    expect(await heard(() => addQuota(database, owner, { iops: { limit: 5 } }))).toEqual([
      { kind: "quota", owner_id: world.clusterId },
    ]);
  });

  test.each(["iops_quotas", "bandwidth_quotas"])("a changed row of %s", async (table) => {
    await addQuota(database, world, { iops: { limit: 5 }, bytesPerSecond: 9 });
    const told = await heard(
      () => database.sql`
        update rate_limiter.${database.sql(table)} set burst_duration_seconds = 2
        where config_id in (
          select config_id from rate_limiter.quota_configs where app_id = ${world.appId}
        )
      `,
    );
    expect(told).toEqual([{ kind: "quota", owner_id: world.appId }]);
  });

  test("a cost rule, and its end", async () => {
    const rule = { kind: "cost_rule", owner_id: world.appId };
    const told = await heard(async () => {
      await database.sql`
        insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override)
        select operation_id, ${world.appId}, 7 from rate_limiter.operation_types
        where name = 'list'
      `;
      await database.sql`delete from rate_limiter.cost_rules where app_id = ${world.appId}`;
    });
    expect(told).toEqual([rule, rule]);
  });

  test("an operation type, which concerns every application", async () => {
    const told = await heard(
      () => database.sql`
        update rate_limiter.operation_types set description = 'listing' where name = 'list'
      `,
    );
    expect(told).toEqual([{ kind: "operation_type", owner_id: null }]);
  });

  test("a revoked key, without a word of the key itself", async () => {
    const told = await heard(
      () => database.sql`
        update rate_limiter_private.api_keys set revoked_at = clock_timestamp()
        where app_id = ${world.appId}
      `,
    );
    expect(told).toEqual([{ kind: "api_key", owner_id: world.appId }]);
  });

  test("an application that is switched off, and a tenant once for all its applications", async () => {
    await database.sql`
      insert into rate_limiter.applications (tenant_id, name)
      select ${world.tenantId}, 'other ' || n from generate_series(1, 3) as n
    `;
    const application = { kind: "application", owner_id: world.appId };
    const tenant = { kind: "tenant", owner_id: world.tenantId };
    const told = await heard(async () => {
      await database.sql`
        update rate_limiter.applications set is_active = false where app_id = ${world.appId}
      `;
      await database.sql`
        update rate_limiter.tenants set is_active = false where tenant_id = ${world.tenantId}
      `;
    });
    expect(told).toEqual([application, tenant]);
  });

  test("nothing when a tenant only gets another description", async () => {
    const told = await heard(
      () => database.sql`
        update rate_limiter.tenants set description = 'x' where tenant_id = ${world.tenantId}
      `,
    );
    expect(told).toEqual([]);
  });

  test("a setting", async () => {
    const told = await heard(
      () => database.sql`
        update rate_limiter.system_settings set value = '11' where key = 'lease_seconds'
      `,
    );
    expect(told).toEqual([{ kind: "settings", owner_id: null }]);
  });
});
