import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeApplication,
  makeCluster,
  makeTenant,
  moment,
  publish,
  tokensAt,
} from "../world.ts";

/**
 * Every 50 milliseconds attackers hand in absurd amounts, and then the sibling asks for a small
 * operation as often as its rate says.
 */
const simulation = `
  create function public.attack(
    way text, attackers uuid[], sibling uuid, rate integer, seconds integer
  )
  returns integer
  language plpgsql
  as $$
  declare
    at timestamptz;
    attacker uuid;
    lease rate_limiter.lease_grant;
    name text;
    admitted integer := 0;
  begin
    for tick in 0 .. seconds * 20 - 1 loop
      at := timestamptz '${moment(0)}' + tick * interval '50 ms';
      foreach attacker in array attackers loop
        if way = 'owed' then
          perform rate_limiter_internal.charge_owed_at(
            rate_limiter_internal.app_shard_key(attacker), at, attacker, 1e9, 1e12
          );
        elsif attacker <> attackers[tick / 20 % 10 + 1] or way = 'settle' and tick % 20 > 0 then
          -- These pay for what they announce, too: now and then one of them.
          continue;
        elsif way = 'settle' then
          name := 'r' || tick;
          perform rate_limiter_internal.consume_at(
            rate_limiter_internal.app_shard_key(attacker), at, attacker, 'write_small', 0, name
          );
          perform rate_limiter_internal.settle_at(
            rate_limiter_internal.app_shard_key(attacker), at, attacker, name, 1000000000000
          );
        else
          lease := rate_limiter_internal.lease_tokens_at(
            rate_limiter_internal.app_shard_key(attacker), at, attacker, 0.1, 0.1, '1 s'
          );
          if lease.lease_id is not null then
            perform rate_limiter_internal.settle_lease_at(
              rate_limiter_internal.app_shard_key(attacker),
              at, attacker, lease.lease_id, 0, 0, 1e9, 1e12
            );
          end if;
        end if;
      end loop;
      for n in 1 .. ((tick + 1) * rate / 20 - tick * rate / 20) loop
        admitted := admitted + (
          rate_limiter_internal.consume_at(
            rate_limiter_internal.app_shard_key(sibling), at, sibling, 'read_small', 1
          )
        ).allowed::integer;
      end loop;
    end loop;
    return admitted;
  end;
  $$
`;

const database = await createDatabase();
const { sql } = database;
const owner = database.as("rate_limiter_owner");
await sql.unsafe(simulation);

/** 120 tokens a second, and twice as many when it is full. */
async function smallCluster() {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: 120, burst: 240, bytes: 1200, oversize: true });
  return clusterId;
}

async function attackers(clusterId: string, limit?: number) {
  const tenantId = await makeTenant(sql);
  const made: string[] = [];
  for (let index = 0; index < 10; index++) {
    const place = { clusterId, tenantId };
    made.push(
      limit === undefined
        ? await makeApplication(sql, place)
        : await limitedApplication(sql, { iops: limit, bytes: limit, oversize: true }, place),
    );
  }
  return made;
}

test.each([
  ["owed", undefined],
  ["owed", 1000],
  ["settle", undefined],
  ["settle", 1000],
  ["lease", undefined],
] as const)(
  "absurd late charges (%s, own limit %s) leave a sibling its part of layer 1",
  { timeout: 60_000 },
  async (way, limit) => {
    const clusterId = await smallCluster();
    const apps = await attackers(clusterId, limit);
    const sibling = await makeApplication(sql, { clusterId });
    const [row] = await sql`
      select public.attack(${way}, ${apps}::uuid[], ${sibling}, 100, 10) as admitted
    `;
    // Half of the refill of ten seconds is 600 of the 1,000 that it asks for.
    expect(row?.admitted).toBeGreaterThanOrEqual(600);
    expect(await ledgerGaps(sql)).toEqual([]);
  },
);

async function chargeOwed(appId: string, at: string, tokens: number) {
  await owner`select rate_limiter_internal.charge_owed_at(
    rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${tokens}, 0
  )`;
}

async function uncharged(appId: string) {
  const [row] = await sql`
    select sum(tokens)::float8 as tokens from rate_limiter.uncharged_counts where app_id = ${appId}
  `;
  return row?.tokens;
}

test("beyond half of layer 1 a tenant's late charges have an equal part of a second", async () => {
  const clusterId = await smallCluster();
  const [one = "", two = ""] = await attackers(clusterId);
  const other = await makeApplication(sql, { clusterId });
  const layer1 = (at: number) => tokensAt(sql, moment(at), clusterId, "iops_l1");
  // 120 are above half of 240, and each of two tenants has 60 a second.
  await chargeOwed(one, moment(0), 500);
  expect(await layer1(0)).toBe("60.000000");
  expect(await uncharged(one)).toBe(320);
  await chargeOwed(two, moment(0), 500);
  expect(await layer1(0)).toBe("60.000000");
  expect(await uncharged(two)).toBe(500);
  await chargeOwed(other, moment(0), 90);
  expect(await layer1(0)).toBe("0.000000");
  expect(await uncharged(other)).toBe(30);
  // A quarter of a second earns 15, and no more than a second's is kept.
  await chargeOwed(two, moment(0.25), 500);
  expect(await layer1(0.25)).toBe("15.000000");
  await chargeOwed(one, moment(100), 500);
  expect(await layer1(100)).toBe("60.000000");
});

test("what an application owes is charged to its own bucket in full", async () => {
  const clusterId = await smallCluster();
  const [appId = ""] = await attackers(clusterId, 1000);
  await makeApplication(sql, { clusterId });
  await chargeOwed(appId, moment(0), 5000);
  expect(await tokensAt(sql, moment(0), appId)).toBe("-4000.000000");
  expect(await tokensAt(sql, moment(0), clusterId, "iops_l1")).toBe("60.000000");
  expect(await uncharged(appId)).toBe(4820);
});

test.each([
  [
    "application is suspended",
    (appId: string) => sql`
      update rate_limiter.app_facts set suspended_until = 'infinity' where app_id = ${appId}
    `,
  ],
  [
    "application is inactive",
    (appId: string) => sql`
      update rate_limiter.applications set is_active = false where app_id = ${appId}
    `,
  ],
  [
    "tenant is inactive",
    (appId: string) => sql`
      update rate_limiter.tenants as t set is_active = false
      from rate_limiter.applications as a
      where a.app_id = ${appId} and t.tenant_id = a.tenant_id
    `,
  ],
])("beyond half of layer 1 late charges have nothing while their %s", async (_, stop) => {
  for (const withSibling of [true, false]) {
    const clusterId = await smallCluster();
    const [appId = ""] = await attackers(clusterId, 1000);
    if (withSibling) await makeApplication(sql, { clusterId });
    await stop(appId);
    await chargeOwed(appId, moment(0), 500);
    // 120 of 240 are above half; its own bucket is charged in full.
    expect(await tokensAt(sql, moment(0), appId)).toBe("500.000000");
    expect(await tokensAt(sql, moment(0), clusterId, "iops_l1")).toBe("120.000000");
    expect(await uncharged(appId)).toBe(380);
    await chargeOwed(appId, moment(0), 500);
    expect(await tokensAt(sql, moment(0), clusterId, "iops_l1")).toBe("120.000000");
  }
});

test("a reserve pays late charges of its application beside that", async () => {
  const clusterId = await smallCluster();
  const [appId = "", sibling = ""] = await attackers(clusterId);
  await makeApplication(sql, { clusterId });
  await sql`
    insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops)
    values (${appId}, ${clusterId}, 40)
  `;
  await sql`select rate_limiter_internal.sync_reserves_at(${moment(0)}, ${clusterId})`;
  // The pool is 200, of which 100 are above half, and half of 80 unreserved tokens a second is 40.
  await chargeOwed(sibling, moment(2), 500);
  expect(await tokensAt(sql, moment(2), clusterId, "iops_l1")).toBe("100.000000");
  await chargeOwed(appId, moment(2), 500);
  expect(await tokensAt(sql, moment(2), clusterId, "iops_l1")).toBe("60.000000");
  expect(await tokensAt(sql, moment(2), appId, "iops_reserve")).toBe("0.000000");
  expect(await uncharged(appId)).toBe(460);
});

test("on a cluster of one tenant late charges are taken as far as its debt limit goes", async () => {
  const clusterId = await smallCluster();
  const [appId = ""] = await attackers(clusterId);
  await chargeOwed(appId, moment(0), 10_000);
  expect(await tokensAt(sql, moment(0), clusterId, "iops_l1")).toBe("-7200.000000");
});
