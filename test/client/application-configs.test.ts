import { beforeEach, expect, test } from "vitest";
import { createDatabase } from "../harness/index.ts";
import { addQuota, type ClientWorld, makeWorld } from "./world.ts";

const database = await createDatabase();
const gateway = database.as("rate_limiter_app");
let world: ClientWorld;

beforeEach(async () => {
  world = await makeWorld(database);
});

async function configsOf(keys: string, ids: string) {
  const rows = await gateway<{ config: Record<string, unknown> }[]>`
    select c as config
    from rate_limiter.application_configs(${keys}::text::text[], ${ids}::text::uuid[]) as c
  `;
  return rows.map(({ config }) => config);
}

test("configs come in the order of the question, and an error concerns its own application", async () => {
  const other = await makeWorld(database);
  await addQuota(database, world, { iops: { limit: 50 } });
  await database.sql`
    insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override)
    select operation_id, ${world.appId}, 7 from rate_limiter.operation_types where name = 'list'
  `;
  const unknown = "00000000-0000-4000-8000-000000000000";
  const configs = await configsOf(
    `{NULL,NULL,qos_unknown,"${world.apiKey}"}`,
    `{${other.appId},${unknown},NULL,NULL}`,
  );
  expect(configs).toMatchObject([
    {
      app_id: other.appId,
      tenant_id: other.tenantId,
      key_valid_ms: null,
      limits: { limits: [] },
      cost_rules: [],
    },
    { error: { code: "QS404", message: "unknown application" } },
    { error: { code: "QS401", message: "unknown api key" } },
    {
      app_id: world.appId,
      limits: { limits: [{ bucket_type: "iops_l2", capacity: "50" }] },
      cost_rules: [{ operation: "list", c_base: "7.0000", to_us: null }],
    },
  ]);
});

test("a key that ends says when", async () => {
  await database.sql`
    update rate_limiter_private.api_keys set expires_at = clock_timestamp() + interval '1 minute'
    where app_id = ${world.appId}
  `;
  const [config] = await configsOf(`{"${world.apiKey}"}`, "{NULL}");
  expect(config?.key_valid_ms).toBeGreaterThan(0);
  expect(config?.key_valid_ms).toBeLessThanOrEqual(60_000);
});

test("operation_costs() has the defaults", async () => {
  const rows = await gateway`select * from rate_limiter.operation_costs() where operation = 'list'`;
  const [type] = await database.sql`
    select c_base, c_bw, unit_quantum from rate_limiter.operation_types where name = 'list'
  `;
  expect(rows).toMatchObject([{ ...type, is_active: true }]);
});

test("a thousand are asked for at once, and not one more", async () => {
  const ids = (count: number) => `{${Array(count).fill(world.appId).join(",")}}`;
  const keys = (count: number) => `{${Array(count).fill("NULL").join(",")}}`;
  expect(await configsOf(keys(1_000), ids(1_000))).toHaveLength(1_000);
  await expect(configsOf(keys(1_001), ids(1_001))).rejects.toMatchObject({ code: "QS422" });
});
