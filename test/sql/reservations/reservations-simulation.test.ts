import { expect, test } from "vitest";
import { createDatabase, type TestDatabase } from "../../harness/index.ts";
import { makeApplication, makeCluster, moment, publish, setSetting } from "../world.ts";

/**
 * Lets time pass in steps of five milliseconds. In each of them every application asks for as many
 * operations as its rate says, the first of them first, and not again for what was denied.
 *
 * A holder of leases asks for a tenth of a second's worth when it has too little, and not before
 * the time that it was told.
 */
const simulation = `
  create function public.simulate(
    way text, apps uuid[], operations text[], costs numeric[], rates integer[], seconds integer,
    out asked integer[], out admitted integer[]
  )
  language plpgsql
  as $$
  declare
    step constant integer := 5;
    at timestamptz;
    due integer;
    allowed integer;
    dues integer[];
    asking integer[];
    answers rate_limiter.decision[];
    grants rate_limiter.lease_grant[] := array_fill(
      null::rate_limiter.lease_grant, array[cardinality(apps)]
    );
    held numeric[] := array_fill(0::numeric, array[cardinality(apps)]);
    ask_at timestamptz[] := array_fill('-infinity'::timestamptz, array[cardinality(apps)]);
    wanted numeric;
  begin
    asked := array_fill(0, array[cardinality(apps)]);
    admitted := asked;
    for tick in 0 .. seconds * 1000 / step - 1 loop
      at := timestamptz '${moment(1)}' + tick * step * interval '1 millisecond';
      dues := array_fill(0, array[cardinality(apps)]);
      for app in 1 .. cardinality(apps) loop
        due := ceil((tick + 1) * step * rates[app] / 1000.0)
          - ceil(tick * step * rates[app] / 1000.0);
        asked[app] := asked[app] + due;
        dues[app] := due;
        allowed := 0;
        if due = 0 or way = 'many' then
          continue;
        elsif way = 'consume' then
          for n in 1 .. due loop
            allowed := allowed + (rate_limiter_internal.consume_at(
              rate_limiter_internal.app_shard_key(apps[app]),
              at, apps[app], operations[app], 0
            )).allowed::integer;
          end loop;
        elsif way = 'batch' then
          allowed := (
            select count(*) filter (where d.allowed)
            from rate_limiter_internal.consume_batch_at(
              rate_limiter_internal.app_shard_key(apps[app]),
              at, apps[app], array_fill(operations[app], array[due]),
              array_fill(0::bigint, array[due])
            ) as d
          );
        else
          for n in 1 .. due loop
            if (grants[app]).expires_at <= at then
              grants[app] := null;
              held[app] := 0;
            end if;
            if held[app] < costs[app] and at >= ask_at[app] then
              wanted := greatest(costs[app], rates[app] * costs[app] * 0.1);
              if (grants[app]).lease_id is null then
                grants[app] := rate_limiter_internal.lease_tokens_at(
                  rate_limiter_internal.app_shard_key(apps[app]),
                  at, apps[app], wanted, 0, '1 s'
                );
              else
                grants[app] := rate_limiter_internal.renew_lease_at(
                  rate_limiter_internal.app_shard_key(apps[app]),
                  at, apps[app], (grants[app]).lease_id, (grants[app]).tokens - held[app], 0,
                  wanted, 0, '1 s'
                );
              end if;
              held[app] := (grants[app]).tokens;
              if held[app] < wanted then
                ask_at[app] := at + (grants[app]).retry_after_ms * interval '1 millisecond';
              end if;
            end if;
            if held[app] >= costs[app] then
              held[app] := held[app] - costs[app];
              allowed := allowed + 1;
            end if;
          end loop;
        end if;
        admitted[app] := admitted[app] + allowed;
      end loop;

      -- One operation of each application at once; consume() decides on what that leaves.
      while way = 'many' and exists (select from unnest(dues) as d where d > 0) loop
        asking := array(
          select o.ordinality from unnest(dues) with ordinality as o (due, ordinality)
          where o.due > 0
        );
        answers := array(
          select d from rate_limiter_internal.consume_many_at(
            rate_limiter_internal.first_operations(
              at, array(select apps[a] from unnest(asking) as a),
              array(select operations[a] from unnest(asking) as a),
              array_fill(0::bigint, array[cardinality(asking)])
            ),
            at, array(select operations[a] from unnest(asking) as a)
          ) as d
        );
        for place in 1 .. cardinality(asking) loop
          if (answers[place]).allowed is null then
            answers[place] := rate_limiter_internal.consume_at(
              rate_limiter_internal.app_shard_key(apps[asking[place]]),
              at, apps[asking[place]], operations[asking[place]], 0
            );
          end if;
          admitted[asking[place]] := admitted[asking[place]]
            + (answers[place]).allowed::integer;
          dues[asking[place]] := dues[asking[place]] - 1;
        end loop;
      end loop;
    end loop;
  end;
  $$
`;

const database = await createDatabase();
await database.sql.unsafe(simulation);

interface Asker {
  readonly operation: string;
  readonly cost: number;
  readonly perSecond: number;
  readonly reserved?: number;
}

/** How many operations each asks for in ten seconds, and is admitted, on a cluster of 120/s. */
async function simulate(way: string, askers: readonly Asker[], { sql }: TestDatabase = database) {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: 120, burst: 240 });
  const apps: string[] = [];
  for (const { reserved } of askers) {
    const appId = await makeApplication(sql, { clusterId });
    apps.push(appId);
    if (reserved === undefined) continue;
    await sql`
      insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops)
      values (${appId}, ${clusterId}, ${reserved})
    `;
  }
  // A new reserve is empty: they fill up within the second before the first operation.
  await sql`select rate_limiter_internal.sync_reserves_at(${moment(0)}, ${clusterId})`;
  const [row] = await sql<[{ asked: number[]; admitted: number[] }]>`
    select s.asked, s.admitted
    from public.simulate(
      ${way}, ${apps}::uuid[], ${askers.map((asker) => asker.operation)}::text[],
      ${askers.map((asker) => asker.cost)}::numeric[],
      ${askers.map((asker) => asker.perSecond)}::integer[], 10
    ) as s
  `;
  return row;
}

/** More than three times what its cluster has; in .ci/full sixteen times. */
const greedy = { operation: "head", cost: 1, perSecond: process.env.QOS_TEST_FULL ? 2_000 : 400 };
const steady = { operation: "head", cost: 1, perSecond: 50, reserved: 50 };
const dear = { operation: "write_large", cost: 10, perSecond: 5, reserved: 50 };
const quiet = { operation: "head", cost: 1, perSecond: 0, reserved: 50 };

const ways = [
  ["consume", 0],
  ["consume", 100],
  ["batch", 100],
  ["many", 100],
  ["lease", 100],
] as const;

test.each(ways)(
  "%s, %i ms prefetched: those that reserved get all that they ask for",
  {
    timeout: 240_000,
  },
  async (way, prefetchMs) => {
    await setSetting(database.sql, "layer1_prefetch_ms", prefetchMs);
    const { asked, admitted } = await simulate(way, [greedy, steady, dear]);
    expect(asked).toEqual([10 * greedy.perSecond, 500, 50]);
    expect(admitted.slice(1)).toEqual([500, 50]);
    // The headroom is 100: 140 there at first, and the 20 a second that are left.
    expect(admitted[0]).toBeGreaterThan(0.9 * (140 + 200));
    expect((admitted[0] ?? 0) + 500 + 50 * 10).toBeLessThanOrEqual(240 + 1_200);
  },
);

test.each([
  ["consume", 0],
  ["batch", 100],
  ["lease", 100],
] as const)(
  "%s, %i ms prefetched: unused reservations cost nothing",
  {
    timeout: 240_000,
  },
  async (way, prefetchMs) => {
    await setSetting(database.sql, "layer1_prefetch_ms", prefetchMs);
    const { admitted } = await simulate(way, [greedy, quiet, quiet]);
    expect(admitted[0]).toBeGreaterThanOrEqual(140 + 0.98 * 1_200);
    expect(admitted[0]).toBeLessThanOrEqual(140 + 1_200);
  },
);
