import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import {
  limitedApplication,
  makeApplication,
  makeCluster,
  makeTenant,
  moment,
  publish,
  setSetting,
} from "../world.ts";

/**
 * Each holder asks for the same amount again and again: when it has spent what it was granted, at
 * its rate, and where that was less than it asked for not before the time that it was told.
 */
const simulation = `
  create function public.share(
    apps uuid[], sizes numeric[], rates numeric[], warm_up interval, span interval
  )
  returns numeric[]
  language plpgsql
  as $$
  declare
    started constant timestamptz := '${moment(0)}';
    ask_at timestamptz[] := array_fill(started, array[cardinality(apps)]);
    leases uuid[] := array_fill(null::uuid, array[cardinality(apps)]);
    held numeric[] := array_fill(0::numeric, array[cardinality(apps)]);
    granted numeric[] := array_fill(0::numeric, array[cardinality(apps)]);
    app integer;
    at timestamptz;
    lease rate_limiter.lease_grant;
  begin
    loop
      select a.ordinality, a.ask_at
      into app, at
      from unnest(ask_at) with ordinality as a (ask_at, ordinality)
      order by a.ask_at, a.ordinality
      limit 1;
      exit when at > started + warm_up + span;

      if leases[app] is null then
        lease := rate_limiter_internal.lease_tokens_at(
          rate_limiter_internal.app_shard_key(apps[app]), at, apps[app], sizes[app], 0, '10 s'
        );
      else
        lease := rate_limiter_internal.renew_lease_at(
          rate_limiter_internal.app_shard_key(apps[app]),
          at, apps[app], leases[app], held[app], 0, sizes[app], 0, '10 s'
        );
      end if;
      leases[app] := lease.lease_id;
      held[app] := lease.tokens;
      if at > started + warm_up then
        granted[app] := granted[app] + lease.tokens;
      end if;
      ask_at[app] := at + greatest(
        lease.tokens / rates[app] * interval '1 second',
        case when lease.tokens < sizes[app]
          then lease.retry_after_ms * interval '1 millisecond' end,
        interval '1 ms'
      );
    end loop;
    return granted;
  end;
  $$
`;

const database = await createDatabase();
await database.sql.unsafe(simulation);

const seconds = 5;

interface Holder {
  readonly size: number;
  readonly perSecond: number;
  /** Of a quota of its own; without one only the cluster's limits it. */
  readonly limit?: number;
  /** Its tenant; one of its own where there is none. */
  readonly tenantId?: string;
}

/** What each was granted in five seconds, once layer 1 of 120/s was short. */
async function share(holders: readonly Holder[], reserved: readonly number[] = []) {
  const { sql } = database;
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: 120, burst: 240 });
  const apps: string[] = [];
  for (const { limit, tenantId } of holders) {
    const make = limit === undefined ? makeApplication : limitedOf(limit);
    apps.push(await make(sql, { clusterId, ...(tenantId === undefined ? {} : { tenantId }) }));
  }
  for (const iops of reserved) {
    const appId = await makeApplication(sql, { clusterId });
    await sql`
      insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops)
      values (${appId}, ${clusterId}, ${iops})
    `;
  }
  await sql`select rate_limiter_internal.sync_reserves_at(${moment(0)}, ${clusterId})`;
  const [row] = await sql<[{ granted: string[] }]>`
    select public.share(
      ${apps}::uuid[], ${holders.map(({ size }) => size)}::numeric[],
      ${holders.map(({ perSecond }) => perSecond)}::numeric[], '3 s', ${`${seconds} s`}
    )::text[] as granted
  `;
  return row.granted.map(Number);
}

function limitedOf(iops: number) {
  return (sql: typeof database.sql, place: { clusterId: string; tenantId?: string }) =>
    limitedApplication(sql, { iops }, place);
}

const greedy = { size: 1_000, perSecond: 2_000 };
const scenarios: [string, Holder[], number[]?][] = [
  ["one that asks for little beside a greedy one", [greedy, { size: 1, perSecond: 100 }]],
  ["one whose operations cost much", [greedy, { size: 10, perSecond: 100 }]],
  [
    "five of all rates and sizes",
    [
      greedy,
      { size: 200, perSecond: 400 },
      { size: 30, perSecond: 60 },
      { size: 10, perSecond: 50 },
      { size: 1, perSecond: 40 },
    ],
  ],
  [
    "greedy ones with quotas of their own",
    [
      { ...greedy, limit: 1_000 },
      { ...greedy, limit: 100 },
      { size: 5, perSecond: 100, limit: 60 },
    ],
  ],
  [
    "ten that are alike, and one that asks for everything",
    [greedy, ...Array.from({ length: 10 }, () => ({ size: 4, perSecond: 40 }))],
  ],
  ["beside reservations that are not used", [greedy, { size: 1, perSecond: 100 }], [30, 20]],
];

/** Half of an equal share, or nearly all that a holder can spend. */
function fairShares(holders: readonly Holder[]): number[] {
  const half = (120 * seconds) / holders.length / 2;
  return holders.map(({ perSecond }) => Math.min(half, 0.9 * perSecond * seconds));
}

test.each(scenarios)(
  "shared among holders of leases: %s",
  {
    timeout: 240_000,
  },
  async (_, holders, reserved) => {
    const granted = await share(holders, reserved);
    fairShares(holders).forEach((fair, place) => {
      expect(granted[place], `holder ${place} of ${granted}`).toBeGreaterThanOrEqual(fair);
    });
    const total = granted.reduce((sum, amount) => sum + amount, 0);
    expect(total).toBeGreaterThanOrEqual(0.95 * 120 * seconds);
  },
);

test("a tenant with ten applications gets what one with a single application gets", {
  timeout: 240_000,
}, async () => {
  const tenantId = await makeTenant(database.sql);
  const many = Array.from({ length: 10 }, () => ({ size: 8, perSecond: 100, tenantId }));
  const [single = 0] = await share([{ size: 20, perSecond: 200 }, ...many]);
  expect(single).toBeGreaterThanOrEqual((120 * seconds) / 2 / 2);
});

test("without the setting there are some that get less", { timeout: 240_000 }, async () => {
  await setSetting(database.sql, "lease_fairness", "false");
  const least: number[] = [];
  for (const [, holders, reserved] of scenarios.slice(0, 2)) {
    const granted = await share(holders, reserved);
    const shares = fairShares(holders).map((fair, place) => (granted[place] ?? 0) / fair);
    least.push(Math.min(...shares));
  }
  await setSetting(database.sql, "lease_fairness", "true");
  expect(Math.min(...least), `of each scenario: ${least}`).toBeLessThan(0.9);
});
