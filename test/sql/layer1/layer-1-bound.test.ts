import { randomUUID } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { connect, type Sql } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeApplication,
  makeCluster,
  moment,
  publish,
  setSetting,
} from "../world.ts";

/** Section 7: in any span layer 1 admits at most its capacity, what flowed in, and one debt limit. */

const database = await createDatabase();

const refill = 1_000;
const capacity = 2_000;

interface Shape {
  readonly prefetchMs: number;
  readonly debtSeconds: number;
  /** Of the first two applications; the third has none. */
  readonly reserved: readonly [number, number];
}

/** A cluster of three applications, the second with a quota of its own. */
async function makeWorld(
  sql: Sql,
  { prefetchMs, debtSeconds, reserved }: Shape,
  at: string | null,
) {
  await setSetting(sql, "layer1_prefetch_ms", prefetchMs);
  await setSetting(sql, "max_cluster_debt_seconds", debtSeconds);
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: refill, burst: capacity });
  const apps = [
    await makeApplication(sql, { clusterId }),
    await limitedApplication(sql, { iops: 600, burst: 900 }, { clusterId }),
    await makeApplication(sql, { clusterId }),
  ];
  for (const [place, iops] of reserved.entries()) {
    if (iops === 0) continue;
    await sql`
      insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops)
      values (${apps[place] as string}, ${clusterId}, ${iops})
    `;
  }
  await sql`select rate_limiter_internal.sync_reserves_at(${at}, ${clusterId})`;
  const debtLimit = (refill - reserved[0] - reserved[1]) * debtSeconds;
  return { clusterId, apps, most: capacity + debtLimit };
}

/** The most that was taken, less what went back, in any span beyond what flowed in meanwhile. */
async function mostBeyondInflow(sql: Sql, clusterId: string): Promise<number> {
  const [row] = await sql<[{ most: number | null }]>`
    with taken as (
      select
        t.seq,
        extract(epoch from t.created_at) * ${refill} as inflow,
        sum(-t.tokens_change) over (order by t.seq) as upto,
        -t.tokens_change as change
      from rate_limiter.token_transactions as t
      where t.owner_id = ${clusterId}
        and t.bucket_type = 'iops_l1'
        and t.transaction_type in (
          'consume', 'prefetch', 'lease', 'settle', 'refund', 'owed'
        )
    )
    select max(spans.most)::float8 as most
    from (
      select
        t.upto - t.inflow
          - min(t.upto - t.change - t.inflow) over (order by t.seq) as most
      from taken as t
    ) as spans
  `;
  return row.most ?? 0;
}

type Call = (sql: Sql, at: string, appId: string, count: number) => PromiseLike<unknown>;

/** With late charges of all kinds: operations that grew, and what was used beyond leases. */
const calls: Record<string, Call> = {
  consume: (sql, at, appId, count) => sql`
    select rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 'write_large', 0
    )
    from generate_series(1, ${count})
  `,
  batch: (sql, at, appId, count) => sql`
    select from rate_limiter_internal.consume_batch_at(
      rate_limiter_internal.app_shard_key(${appId}),
      ${at}, ${appId}, array_fill('delete'::text, array[${count}::int]),
      array_fill(0::bigint, array[${count}::int])
    )
  `,
  many: (sql, at, appId) => sql`
    select from rate_limiter_internal.consume_many_at(
      rate_limiter_internal.first_operations(${at}, array[${appId}::uuid], '{write_large}', '{0}'),
      ${at}, '{write_large}'
    )
  `,
  lease: (sql, at, appId, count) => sql`
    select rate_limiter_internal.lease_tokens_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${count * 40}, 0, '10 s'
    )
  `,
  owe: (sql, at, appId, count) => sql`
    select rate_limiter_internal.charge_owed_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${count * 30}, 0
    )
  `,
  async settle(sql, at, appId, count) {
    const [lease] = await sql`
      select lease_id as id, tokens from rate_limiter_internal.lease_tokens_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${at}, ${appId}, ${count * 10}, 0, '10 s'
      )
    `;
    if (lease?.id == null) return;
    await sql`
      select rate_limiter_internal.settle_lease_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${at}, ${appId}, ${lease.id}, trunc(${lease.tokens}::numeric / 2, 6), 0, ${count * 20}, 0
      )
    `;
  },
  async upload(sql, at, appId, count) {
    const reference = randomUUID();
    const [decision] = await sql`
      select d.allowed from rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${at}, ${appId}, 'read_large', 0, ${reference}
      ) as d
    `;
    if (!decision?.allowed) return;
    await sql`
      select rate_limiter_internal.settle_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${reference}, ${count * 2 ** 36}
      )
    `;
  },
};

const shape = fc.record({
  prefetchMs: fc.constantFrom(0, 100, 1_000),
  debtSeconds: fc.constantFrom(0, 1, 60),
  reserved: fc.constantFrom<readonly [number, number]>([0, 0], [300, 0], [200, 350]),
});
const step = fc.record({
  waitMs: fc.oneof(fc.constant(0), fc.nat(20), fc.nat(1_500)),
  call: fc.constantFrom(...Object.keys(calls)),
  app: fc.nat(2),
  count: fc.integer({ min: 1, max: 40 }),
});
const scenario = fc.tuple(shape, fc.array(step, { minLength: 5, maxLength: 40 }));

test("in any span, whatever callers ask, and whatever is charged late", {
  timeout: 240_000,
}, async () => {
  let closest = 0;
  await fc.assert(
    fc.asyncProperty(scenario, ([world, steps]) =>
      database.withTransaction("rate_limiter_owner", {}, async (transaction) => {
        const sql = transaction as unknown as Sql;
        const { clusterId, apps, most } = await makeWorld(sql, world, moment(0));
        let ms = 1_000;
        for (const { waitMs, call, app, count } of steps) {
          ms += waitMs;
          await calls[call]?.(sql, moment(ms / 1_000), apps[app] as string, count);
        }
        const beyond = await mostBeyondInflow(sql, clusterId);
        expect(beyond).toBeLessThanOrEqual(most + 1e-6);
        expect(await ledgerGaps(sql)).toEqual([]);
        closest = Math.max(closest, beyond / most);
      }),
    ),
    { numRuns: 60 },
  );
  // It is near enough to the bound to mean something.
  expect(closest).toBeGreaterThan(0.5);
});

test("in any span, with sessions that ask at once", { timeout: 120_000 }, async () => {
  const { sql } = database;
  const world = { prefetchMs: 100, debtSeconds: 1, reserved: [200, 350] } as const;
  const { clusterId, apps, most } = await makeWorld(sql, world, null);
  const url = database.urlAs("rate_limiter_app");
  const admitted = await Promise.all(
    Array.from({ length: 6 }, async (_, session) => {
      const own = connect(url, { max: 1 });
      try {
        return await askForAWhile(own, apps[session % apps.length] as string, session);
      } finally {
        await own.end();
      }
    }),
  );
  expect(await mostBeyondInflow(sql, clusterId)).toBeLessThanOrEqual(most + 1e-6);
  expect(admitted.reduce((sum, tokens) => sum + tokens, 0)).toBeGreaterThan(capacity / 2);
  expect(await ledgerGaps(sql)).toEqual([]);
});

/** Of the live functions, each with what it admits. */
const liveCalls: readonly ((sql: Sql, appId: string, holder: string) => PromiseLike<Admitted>)[] = [
  (sql, appId) => sql`
    select d.cost::float8 as tokens
    from rate_limiter.consume(${appId}, 'write_large') as d where d.allowed
  `,
  (sql, appId) => sql`
    select sum(d.cost)::float8 as tokens
    from rate_limiter.consume_many(array[${appId}::uuid], '{write_large}', '{0}') as d
  `,
  (sql, appId) => sql`
    select sum(d.cost) filter (where d.allowed)::float8 as tokens
    from rate_limiter.consume_batch(${appId}, '{delete,delete}', '{0,0}') as d
  `,
  (sql, appId, holder) => sql`
    select l.tokens::float8
    from rate_limiter.lease_tokens(${appId}, 30, 0, '1 s', ${holder}) as l
  `,
];

type Admitted = readonly { readonly tokens?: number | null }[];

/** As many calls as will do; what they admitted. */
async function askForAWhile(sql: Sql, appId: string, session: number): Promise<number> {
  let admitted = 0;
  for (let turn = 0; turn < 120; turn += 1) {
    const call = liveCalls[(turn + session) % liveCalls.length];
    const [row] = (await call?.(sql, appId, `session ${session}`)) ?? [];
    admitted += row?.tokens ?? 0;
    if (turn % 10 === 9) {
      await sql`select rate_limiter.charge_owed(${appId}, 15, 0, ${randomUUID()})`;
    }
  }
  return admitted;
}
