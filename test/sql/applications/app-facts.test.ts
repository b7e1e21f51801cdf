import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import {
  asUser,
  cancel,
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
const ask = <T>(work: Parameters<typeof asUser<T>>[2]) => asUser(database, operator, work);

// When it moved is remembered here alone.
const stored = `
  select jsonb_agg(to_jsonb(f) - 'moved_at' order by f.app_id) as facts
  from rate_limiter.app_facts as f
`;

/** The facts as they are, and as the control plane would write them anew. */
async function compareFacts(): Promise<void> {
  await sql
    .begin(async (s) => {
      const [before] = await s.unsafe(stored);
      await s`delete from rate_limiter.app_facts`;
      await s`
        select rate_limiter_internal.write_app_facts(clock_timestamp(), a.app_id)
        from rate_limiter.applications as a
      `;
      const [after] = await s.unsafe(stored);
      expect(before?.facts).toEqual(after?.facts);
      throw new Error("undo");
    })
    .catch((error) => {
      if (error.message !== "undo") throw error;
    });
}

test("the facts of applications follow every change of what they are copies of", async () => {
  const tenantId = await makeTenant(sql);
  const [clusterId, other] = [await makeCluster(sql), await makeCluster(sql)];
  await publish(sql, { defaultClusterId: other, iops: 5, bandwidth: 5 });
  const appId = await makeApplication(sql, { tenantId, clusterId });
  await makeApplication(sql, { tenantId });
  const set = (column: string, value: boolean | string | null) => sql`
    update rate_limiter.applications set ${sql({ [column]: value })} where app_id = ${appId}
  `;
  const setTenant = (isActive: boolean) => sql`
    update rate_limiter.tenants set is_active = ${isActive} where tenant_id = ${tenantId}
  `;
  const suspended: string[] = [];
  const lift = (id: string | undefined) =>
    ask((s) => s`select rate_limiter_admin.lift_suspension(${id ?? null}, 'mended')`);
  const suspend = async (what: "tenant" | "application", id: string) => {
    const [row] = await ask(
      (s) => s`
        select (rate_limiter_admin.${s(`suspend_${what}`)}(${id}, 'a loop')).suspension_id as id
      `,
    );
    suspended.push(row?.id);
  };
  const quotas: string[] = [];
  const changes: [string, () => PromiseLike<unknown>][] = [
    [
      "a quota is published",
      async () => quotas.push(await publish(sql, { appId, iops: 5, bandwidth: 5 })),
    ],
    ["a half of it is removed", () => publish(sql, { appId, removeBandwidth: true })],
    ["a quota is scheduled", () => publish(sql, { clusterId, bandwidth: 5, from: year(2101) })],
    ["a shadow quota is published", () => publish(sql, { clusterId, iops: 5, mode: "shadow" })],
    [
      "the cluster gets a quota",
      async () => quotas.push(await publish(sql, { clusterId, iops: 5 })),
    ],
    ["it is cancelled", () => cancel(sql, quotas.at(-1) as string)],
    ["the application is moved", () => set("cluster_id", other)],
    ["the application leaves its cluster", () => set("cluster_id", null)],
    ["the application comes back", () => set("cluster_id", clusterId)],
    ["the application is suspended", () => suspend("application", appId)],
    ["the tenant is suspended", () => suspend("tenant", tenantId)],
    ["the suspension of the tenant is lifted", () => lift(suspended[1])],
    ["the suspension of the application is lifted", () => lift(suspended[0])],
    ["the application is deactivated", () => set("is_active", false)],
    ["the tenant is deactivated", () => setTenant(false)],
    ["the tenant is activated", () => setTenant(true)],
    ["the application is activated", () => set("is_active", true)],
    ["borrowing is allowed", () => set("auto_borrow", true)],
    [
      "the tenant comes under a ceiling",
      () => ask((s) => setCeiling(s, { tenantId, iops: [50, 50, 50] })),
    ],
    ["the application changes its tenant", async () => set("tenant_id", await makeTenant(sql))],
    ["a quota is needed everywhere", () => setSetting(sql, "without_quota", "deny")],
    ["no quota is needed", () => setSetting(sql, "without_quota", "unlimited")],
  ];
  for (const [what, change] of changes) {
    await change();
    await compareFacts().catch((error) => {
      throw new Error(`after ${what}: ${error.message}`, { cause: error });
    });
  }
});

test("the facts of an application go with it", async () => {
  const appId = await makeApplication(sql);
  await sql`delete from rate_limiter.applications where app_id = ${appId}`;
  expect(await sql`select from rate_limiter.app_facts where app_id = ${appId}`).toHaveLength(0);
});

test("an application whose name is taken leaves no facts behind", async () => {
  const tenantId = await makeTenant(sql);
  await sql`insert into rate_limiter.applications (tenant_id, name) values (${tenantId}, 'one')`;
  await sql`
    insert into rate_limiter.applications (tenant_id, name) values (${tenantId}, 'one')
    on conflict do nothing
  `;
  const rows = await sql`select from rate_limiter.app_facts where tenant_id = ${tenantId}`;
  expect(rows).toHaveLength(1);
});
