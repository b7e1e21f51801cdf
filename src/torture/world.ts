import type { Sql } from "../postgres/connect.ts";

/** An application of the run. Rates and capacities are the most that any fault changes them to. */
export interface TorturedApp {
  readonly appId: string;
  readonly apiKey: string;
  readonly tenant: "busy" | "greedy";
  /** Tokens a second in the beginning; a change of quota sets one to two times as much. */
  readonly rate: number;
  readonly capacity: number;
  /** Tokens a second that layer 1 owes it whatever the others do. */
  readonly reserved: number;
}

export interface World {
  readonly clusters: readonly [string, string];
  readonly clusterRate: number;
  readonly clusterCapacity: number;
  readonly tenants: Readonly<Record<"busy" | "greedy", string>>;
  readonly administratorId: string;
  readonly apps: readonly TorturedApp[];
  /** Has a reservation, and asks for half of it. */
  readonly reserved: TorturedApp;
  /** Moves between the clusters. */
  readonly nomad: TorturedApp;
  /** Its key is revoked and made anew. */
  readonly keyed: TorturedApp;
  /** Asked for through the gateway. */
  readonly guarded: TorturedApp;
  /** Borrows, and its loans are collected by the jobs. */
  readonly borrower: TorturedApp;
}

/** Less than its applications together: they fight for it. */
const clusterRate = 120;

/** Two tenants with applications on one cluster; another cluster for the one that moves. */
export async function makeWorld(sql: Sql): Promise<World> {
  const clusters = [await addCluster(sql, "north"), await addCluster(sql, "south")] as const;
  const tenants = { busy: await addTenant(sql, "busy"), greedy: await addTenant(sql, "greedy") };
  for (const clusterId of clusters) await setQuota(sql, { clusterId }, clusterRate);
  const add = (tenant: "busy" | "greedy", name: string, rate: number, reserved = 0) =>
    addApp(sql, {
      tenant,
      tenantId: tenants[tenant],
      clusterId: clusters[0],
      name,
      rate,
      reserved,
    });
  const reserved = await add("busy", "reserved", 60, 20);
  const nomad = await add("busy", "nomad", 20);
  const keyed = await add("busy", "keyed", 20);
  const borrower = await add("busy", "borrower", 40);
  const guarded = await add("busy", "guarded", 40);
  const greedy = [await add("greedy", "greedy 1", 80), await add("greedy", "greedy 2", 80)];
  const administratorId = await addAdministrator(sql, tenants.busy);
  const world = {
    ...{ clusters, clusterRate, clusterCapacity: clusterRate, tenants, administratorId },
    ...{ apps: [reserved, nomad, keyed, borrower, guarded, ...greedy] },
    ...{ reserved, nomad, keyed, borrower, guarded },
  };
  await reserve(sql, world, reserved.appId, reserved.reserved);
  return world;
}

export async function setQuota(
  sql: Sql,
  owner: { readonly appId: string } | { readonly clusterId: string },
  rate: number,
): Promise<void> {
  const limits = {
    ...{ iops_limit: rate, iops_burst: rate, burst_duration_seconds: 1, refill_rate: rate },
    ...{ calculation_method: "token_bucket", min_reserve: 0 },
  };
  await sql`
    select rate_limiter_internal.publish_quota_at(
      null, ${"appId" in owner ? owner.appId : null},
      ${"clusterId" in owner ? owner.clusterId : null}, 'enforce', null, null,
      ${JSON.stringify(limits)}::text::jsonb, null, 'torture'
    )
  `;
}

/** As a system administrator does it; null ends the reservation. */
export async function reserve(
  sql: Sql,
  { administratorId }: Pick<World, "administratorId">,
  appId: string,
  tokens: number | null,
): Promise<void> {
  await sql.begin(async (transaction) => {
    await transaction`select set_config('rate_limiter.user_id', ${administratorId}, true)`;
    if (tokens === null) {
      await transaction`select rate_limiter_admin.remove_reservation(${appId}, 'torture')`;
    } else {
      await transaction`
        select rate_limiter_admin.set_reservation(${appId}, 'torture', ${tokens})
      `;
    }
  });
}

async function addCluster(sql: Sql, name: string): Promise<string> {
  const [row] = await sql`
    insert into rate_limiter.clusters (name, region) values (${name}, 'torture')
    returning cluster_id
  `;
  return row?.cluster_id;
}

async function addTenant(sql: Sql, name: string): Promise<string> {
  const [row] = await sql`
    insert into rate_limiter.tenants (name) values (${name}) returning tenant_id
  `;
  return row?.tenant_id;
}

async function addAdministrator(sql: Sql, tenantId: string): Promise<string> {
  const [row] = await sql`
    with made as (
      insert into rate_limiter.users (tenant_id, username, email)
      values (${tenantId}, 'torture', 'torture@example.org')
      returning user_id
    )
    insert into rate_limiter.user_roles (user_id, role_id)
    select m.user_id, r.role_id
    from made as m
    join rate_limiter.roles as r on r.name = 'system_admin'
    returning user_id
  `;
  return row?.user_id;
}

interface Wanted {
  readonly tenant: "busy" | "greedy";
  readonly tenantId: string;
  readonly clusterId: string;
  readonly name: string;
  readonly rate: number;
  readonly reserved: number;
}

async function addApp(sql: Sql, wanted: Wanted): Promise<TorturedApp> {
  const [row] = await sql`
    insert into rate_limiter.applications (tenant_id, cluster_id, name)
    values (${wanted.tenantId}, ${wanted.clusterId}, ${wanted.name})
    returning app_id
  `;
  const appId: string = row?.app_id;
  await setQuota(sql, { appId }, wanted.rate);
  const apiKey = await addKey(sql, appId);
  const { tenant, rate, reserved } = wanted;
  return { appId, apiKey, tenant, rate, capacity: rate, reserved };
}

export async function addKey(sql: Sql, appId: string): Promise<string> {
  const [key] = await sql`select api_key from rate_limiter_private.issue_api_key(${appId})`;
  return key?.api_key;
}
