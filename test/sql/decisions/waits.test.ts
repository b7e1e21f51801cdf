import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import { ledgerGaps, limitedApplication, makeCluster, publish, setSetting } from "../world.ts";

const database = await createDatabase();
const { sql } = database;
await setSetting(sql, "layer1_prefetch_ms", 0);

/** So slow that no bucket is full again while a call waits. */
const rate = 1000;
const quota = { iops: rate, burst: 100_000, bytes: 1_000_000_000 };

interface Prepared {
  readonly appId: string;
  readonly lease: string;
}
type Call = (of: Sql, on: Prepared) => PromiseLike<unknown>;

/** What gateways, services and people call, and what takes or gives tokens. */
const calls: Readonly<Record<string, Call>> = {
  consume: (of, { appId }) => of`select rate_limiter.consume(${appId}, 'head', 10)`,
  "consume under a reference": (of, { appId }) =>
    of`select rate_limiter.consume(${appId}, 'head', 10, 'new')`,
  consume_batch: (of, { appId }) =>
    of`select rate_limiter.consume_batch(${appId}, '{head,head}', '{10,10}')`,
  settle: (of, { appId }) => of`select rate_limiter.settle(${appId}, 'charged', 5000)`,
  refund: (of, { appId }) => of`select rate_limiter.refund(${appId}, 'charged')`,
  lease_tokens: (of, { appId }) => of`select rate_limiter.lease_tokens(${appId}, 10, 10)`,
  renew_lease: (of, { appId, lease }) =>
    of`select rate_limiter.renew_lease(${appId}, ${lease}, 1, 1, 10, 10)`,
  settle_lease: (of, { appId, lease }) =>
    of`select rate_limiter.settle_lease(${appId}, ${lease}, 1, 1)`,
  charge_owed: (of, { appId }) => of`select rate_limiter.charge_owed(${appId}, 10, 10, 'key')`,
};

async function prepare(clusterId?: string): Promise<Prepared> {
  const appId = await limitedApplication(sql, quota, clusterId === undefined ? {} : { clusterId });
  const gateway = database.as("rate_limiter_app");
  await gateway`select rate_limiter.consume(${appId}, 'read_small', 10, 'charged')`;
  const [grant] = await gateway`
    select lease_id from rate_limiter.lease_tokens(${appId}, 10, 10, '1 hour')
  `;
  return { appId, lease: grant?.lease_id };
}

interface Entry {
  readonly tokens: number;
  readonly refilled: number;
  readonly seconds: number;
}

/** The bucket's ledger from the row that the one who held the lock left. */
async function entriesSince(ownerId: string): Promise<Entry[]> {
  const rows = await sql<Entry[]>`
    with rows as (
      select t.*, max(t.seq) filter (where t.metadata ? 'reason') over () as held
      from rate_limiter.token_transactions as t
      where t.owner_id = ${ownerId} and t.bucket_type in ('iops_l2', 'iops_l1')
    )
    select
      r.tokens_change::float8 as tokens, r.refilled::float8,
      extract(epoch from r.created_at - first_value(r.created_at) over (order by r.seq))::float8
        as seconds
    from rows as r
    where r.seq >= r.held
    order by r.seq
  `;
  return rows.map((row) => ({ ...row }));
}

/** Holds rows for more than two seconds, then writes them, while the calls wait for them. */
async function heldUp(
  rows: (of: Sql) => PromiseLike<unknown>,
  write: (of: Sql) => PromiseLike<unknown>,
  waiting: readonly ((of: Sql) => PromiseLike<unknown>)[],
): Promise<void> {
  const holder = await database.session("holder", "rate_limiter_owner");
  await holder.sql`begin`;
  await rows(holder.sql);
  const pending: Promise<unknown>[] = [];
  for (const [index, call] of waiting.entries()) {
    const session = await database.session(`waiting ${index}`, "rate_limiter_app");
    pending.push(session.start(call));
    await session.waitsOnLock();
  }
  // The one thing here that a moment as an argument cannot show: these read the clock themselves.
  await holder.sql`select pg_sleep(2.1)`;
  await write(holder.sql);
  await holder.sql`commit`;
  await Promise.all(pending);
}

function adjust(of: Sql, ownerId: string, bucket: string, change: number) {
  return of`
    select rate_limiter_internal.adjust_tokens_at(
      null, ${ownerId}, ${bucket}::text::rate_limiter.bucket_type, ${change}, 'test'
    )
  `;
}

describe("a call that waited two seconds for a lock", () => {
  test("of its application's bucket takes nothing for a clock that stepped back", async () => {
    const names = Object.keys(calls);
    const prepared = await Promise.all(names.map(() => prepare()));
    const apps = prepared.map(({ appId }) => appId);
    await heldUp(
      (of) => of`
        select from rate_limiter.token_buckets
        where owner_id = any (${apps}::uuid[]) order by owner_id, bucket_type for update
      `,
      (of) => of`
        select rate_limiter_internal.adjust_tokens_at(null, app_id, 'iops_l2', -50000, 'test')
        from unnest(${apps}::uuid[]) as app_id
      `,
      names.map((name, index) => (of) => (calls[name] as Call)(of, prepared[index] as Prepared)),
    );
    for (const [index, name] of names.entries()) {
      const [held, ...later] = await entriesSince(apps[index] ?? "");
      expect(held?.tokens, name).toBe(-50_000);
      expect(later.length, name).toBeGreaterThan(0);
      const last = later.at(-1);
      const refilled = later.reduce((sum, entry) => sum + entry.refilled, 0);
      expect(last?.seconds, name).toBeGreaterThanOrEqual(0);
      // To the microsecond: the two seconds that it waited are not there a second time.
      expect(refilled, name).toBeCloseTo((last?.seconds ?? 0) * rate, 6);
    }
  });

  test("of its cluster's bucket takes nothing for a clock that stepped back", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, quota);
    const names = Object.keys(calls);
    const prepared = await Promise.all(names.map(() => prepare(clusterId)));
    await heldUp(
      (of) => of`
        select from rate_limiter.token_buckets
        where owner_id = ${clusterId} order by bucket_type for update
      `,
      (of) => adjust(of, clusterId, "iops_l1", -50_000),
      names.map((name, index) => (of) => (calls[name] as Call)(of, prepared[index] as Prepared)),
    );
    const [held, ...later] = await entriesSince(clusterId);
    expect(held?.tokens).toBe(-50_000);
    expect(later.length).toBeGreaterThanOrEqual(names.length);
    const refilled = later.reduce((sum, entry) => sum + entry.refilled, 0);
    const latest = Math.max(...later.map((entry) => entry.seconds));
    expect(refilled).toBeCloseTo(latest * rate, 6);
  });

  test("decides on no operation out of many, and leaves each to a call of its own", async () => {
    const { appId } = await prepare();
    const decisions: unknown[] = [];
    await heldUp(
      (of) => of`
        select from rate_limiter.token_buckets where owner_id = ${appId} for update
      `,
      (of) => adjust(of, appId, "iops_l2", -50_000),
      [
        async (of) => {
          decisions.push(
            ...(await of`
              select allowed from rate_limiter.consume_many(
                array[${appId}::uuid], '{head}', '{10}'
              )
            `),
          );
        },
      ],
    );
    expect(decisions).toMatchObject([{ allowed: null }]);
    expect(await entriesSince(appId)).toHaveLength(1);
  });

  test("and is denied after it writes nothing at all", async () => {
    const { appId } = await prepare();
    const [bucket] = await sql`
      select current_tokens::float8 as tokens from rate_limiter.token_buckets
      where owner_id = ${appId} and bucket_type = 'iops_l2'
    `;
    const decisions: unknown[] = [];
    await heldUp(
      (of) => of`
        select from rate_limiter.token_buckets where owner_id = ${appId} for update
      `,
      async (of) => {
        await of`select rate_limiter_internal.charge_owed_at(
          rate_limiter_internal.app_shard_key(${appId}), null, ${appId}, 1000000, 0
        )`;
        await adjust(of, appId, "iops_l2", 1);
      },
      [
        async (of) => {
          const [row] = await of`select * from rate_limiter.consume(${appId}, 'head')`;
          decisions.push({ allowed: row?.allowed, reason: row?.reason });
        },
      ],
    );
    expect(bucket?.tokens).toBeGreaterThan(90_000);
    expect(decisions).toEqual([{ allowed: false, reason: "iops_l2" }]);
    expect(await entriesSince(appId)).toHaveLength(1);
    const [row] = await sql`
      select b.last_refill_at = t.created_at as is_unhealed
      from rate_limiter.token_buckets as b
      join rate_limiter.token_transactions as t
        on t.owner_id = b.owner_id and t.bucket_type = b.bucket_type and t.seq = b.ledger_seq
      where b.owner_id = ${appId} and b.bucket_type = 'iops_l2'
    `;
    expect(row?.is_unhealed).toBe(true);
  });
});

test("the ledger explains all that was held up", async () => {
  expect(await ledgerGaps(sql)).toEqual([]);
});
