import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";

const database = await createDatabase();
const { sql } = database;
const owner = database.as("rate_limiter_owner");
const worker = database.as("rate_limiter_worker");
let appId = "";

beforeEach(async () => {
  appId = await makeApplication(database, { limit: 1000, burst: 100_000 });
});

/** The quota is in force since a moment ago: an hour ahead of it, and behind the start of an hour. */
const hour = Math.ceil(Date.now() / 3_600_000) * 3_600_000 + 3_600_000;
const at = (seconds: number) => new Date(hour + seconds * 1000).toISOString();

interface Slice {
  readonly is_busy: boolean;
  readonly next_app_id: string | null;
}

/** Runs the job as its task does; answers how many slices it took. */
async function count({ batchSize = 1000, maxEntries = 20_000 } = {}): Promise<number> {
  let from: string | null = null;
  let slices = 0;
  do {
    const [slice]: Slice[] = await worker<Slice[]>`
      select * from rate_limiter_private.refresh_daily_quota_usage(
        ${from}::uuid, ${batchSize}, ${maxEntries}
      )
    `;
    from = slice?.next_app_id ?? null;
    slices++;
  } while (from !== null);
  return slices;
}

async function consumeAt(seconds: number, times = 1, application = appId): Promise<void> {
  await owner`
    select rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${application}), ${at(seconds)}, ${application},
      'write_small', 0
    )
    from generate_series(1, ${times}::integer)
  `;
}

/** Rows that differ from what the ledger says, whichever side has them. */
async function differences(unit: "hour" | "day", application = appId) {
  const counted =
    unit === "hour"
      ? sql`select app_id, bucket_type, hour as starts_at, tokens_consumed, tokens_refunded,
          tokens_owed, usage_entries, ledger_entries from rate_limiter_private.usage_hourly`
      : sql`select app_id, bucket_type, date::timestamp at time zone 'UTC' as starts_at,
          tokens_consumed, tokens_refunded, tokens_owed, usage_entries, ledger_entries
        from rate_limiter_private.usage_daily`;
  return sql`
    with ledger as (
      select
        t.owner_id, t.bucket_type, date_trunc(${unit}, t.created_at, 'UTC'),
        coalesce(-sum(t.tokens_change)
          filter (where t.transaction_type in ('consume', 'lease', 'settle')), 0),
        coalesce(sum(t.tokens_change) filter (where t.transaction_type = 'refund'), 0),
        coalesce(-sum(t.tokens_change) filter (where t.transaction_type = 'owed'), 0),
        count(*) filter (
          where t.transaction_type in ('consume', 'lease', 'settle', 'owed', 'refund')
        ),
        count(*)
      from rate_limiter.token_transactions as t
      where t.owner_id = ${application} and t.mode = 'enforce'
      group by 1, 2, 3
    ),
    counted as (select * from (${counted}) as c where c.app_id = ${application})
    (table ledger except table counted) union all (table counted except table ledger)
  `;
}

async function expectExact(application = appId): Promise<void> {
  expect([...(await differences("hour", application))]).toEqual([]);
  expect([...(await differences("day", application))]).toEqual([]);
}

/** Ledger rows that a run of the job reads, by index or without. */
async function ledgerRowsRead(): Promise<number> {
  const { sql: session } = await database.session("counting", "rate_limiter_worker");
  const read = async () => {
    const [row] = await session<{ rows: number }[]>`
      select sum(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0))::float8 as rows
      from pg_stat_xact_all_tables as s
      where s.schemaname = 'rate_limiter_partitions' and s.relname ~ '^token_transactions_'
    `;
    return row?.rows ?? 0;
  };
  await session`begin`;
  const before = await read();
  await session`select rate_limiter_private.refresh_daily_quota_usage()`;
  const after = await read();
  await session`commit`;
  return after - before;
}

describe("usage by hour and day", () => {
  test("is what the ledger says, to the last digit", async () => {
    await consumeAt(1, 5);
    await count();
    await consumeAt(2, 7);
    await consumeAt(3599, 3);
    await consumeAt(3600, 2);
    await consumeAt(100_000, 2);
    const [lease] = await owner`
      select * from rate_limiter_internal.lease_tokens_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at(100_010)}, ${appId}, 20, 0
      )
    `;
    await count();
    await owner`
      select rate_limiter_internal.settle_lease_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at(100_011)}, ${appId},
        ${lease?.lease_id}, 5.123456, 0
      )
    `;
    await count();
    await expectExact();
  });

  test("counts each ledger row once, and reads no others", async () => {
    await consumeAt(1, 40);
    await count();
    const again = await ledgerRowsRead();
    await consumeAt(5, 10);
    // Once for its sums, and once for the record of demand.
    expect([again, await ledgerRowsRead()]).toEqual([0, 20]);
    await consumeAt(3700, 20);
    expect(await ledgerRowsRead()).toBe(40);
    await expectExact();
  });

  test("takes in rows that a clock that stepped back put before others", async () => {
    await consumeAt(90_000, 3);
    await count();
    await consumeAt(90_000, 1);
    await sql`
      update rate_limiter.token_transactions set created_at = created_at - interval '20 hours'
      where owner_id = ${appId} and seq = 5
    `;
    await consumeAt(90_001, 2);
    await count();
    await expectExact();
    const [progress] = await sql<{ seq: string }[]>`
      select seq from rate_limiter_private.usage_progress where app_id = ${appId}
    `;
    expect(progress?.seq).toBe("7");
  });

  test("waits for a transaction that is open while later ones of others are counted", async () => {
    const other = await makeApplication(database, { limit: 1000, burst: 100_000 });
    const gateway = await database.session("gateway", "rate_limiter_owner");
    await gateway.sql`begin`;
    await gateway.sql`
      select rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at(1)}, ${appId}, 'write_small', 0
      )
    `;
    await consumeAt(5000, 2, other);
    await count();
    await gateway.sql`commit`;
    await consumeAt(5000);
    await count();
    await expectExact();
    await expectExact(other);
  });

  test("goes on in slices, and past rows that have expired", async () => {
    const other = await makeApplication(database, { limit: 1000, burst: 100_000 });
    await consumeAt(1, 30);
    await consumeAt(4000, 30);
    await consumeAt(2, 7, other);
    await sql`delete from rate_limiter.token_transactions where owner_id = ${appId} and seq <= 12`;
    expect(await count({ batchSize: 1, maxEntries: 10 })).toBeGreaterThan(7);
    await expectExact();
    await expectExact(other);
    expect(await count()).toBe(1);
  });

  test("moves with its application, and goes on there", async () => {
    await consumeAt(1, 3);
    await count();
    await consumeAt(2, 3);
    await sql`
      update rate_limiter.applications set cluster_id = (
        select cluster_id from rate_limiter.clusters
        where cluster_id <> applications.cluster_id
        order by cluster_id limit 1
      )
      where app_id = ${appId}
    `;
    await consumeAt(4000, 3);
    await count();
    await expectExact();
    const keys = await sql`
      select distinct u.shard_key = f.shard_key as is_there
      from rate_limiter_private.usage_hourly as u
      join rate_limiter.app_facts as f on f.app_id = u.app_id
      where u.app_id = ${appId}
    `;
    expect([...keys]).toEqual([{ is_there: true }]);
  });

  test("is counted by one session at a time, and the other one says so", async () => {
    const first = await database.session("first", "rate_limiter_worker");
    await first.sql`begin`;
    await first.sql`select rate_limiter_private.refresh_daily_quota_usage()`;
    const [second] = await worker`
      select * from rate_limiter_private.refresh_daily_quota_usage()
    `;
    await first.sql`commit`;
    expect({ ...second }).toEqual({ is_busy: true, next_app_id: null });
  });

  test("tells over time what is counted and what is not yet, the same", async () => {
    const read = async (resolution: string) => {
      const rows = await owner`
        select u.starts_at, sum(u.tokens_used) as tokens, sum(u.usage_entries) as entries
        from rate_limiter_internal.usage_of(
          rate_limiter_internal.app_shard_key(${appId}), ${appId}, ${resolution},
          date_trunc('day', ${at(0)}::timestamptz, 'UTC'),
          date_trunc('day', ${at(0)}::timestamptz, 'UTC') + interval '72 hours'
        ) as u
        group by u.starts_at
        order by u.starts_at
      `;
      return [...rows];
    };
    await consumeAt(1, 3);
    await consumeAt(3601, 4);
    await count();
    await consumeAt(3602, 5);
    await consumeAt(90_000, 1);
    const before = [await read("hour"), await read("day")];
    await count();
    expect([await read("hour"), await read("day")]).toEqual(before);
    expect(before.flat().reduce((total, row) => total + Number(row.entries), 0)).toBe(26);

    // On a server that took over, and whose clock is behind.
    await consumeAt(7300, 2);
    const behind = [await read("hour"), await read("day")];
    await count();
    expect([await read("hour"), await read("day")]).toEqual(behind);
    expect(behind).not.toEqual(before);
  });

  test("of a span is that of its days and of the hours on both sides of them", async () => {
    for (const seconds of [0, 3600, 20_000, 50_000, 90_000, 180_000]) {
      await consumeAt(seconds, 1 + (seconds % 7));
    }
    await count();
    for (const [from, to] of [
      [0, 3600],
      [0, 23],
      [1, 26],
      [0, 60],
      [10, 14],
      [5, 49],
    ] as const) {
      const span = { since: at(from * 3600), until: at(Math.min(to, 60) * 3600) };
      const [sums] = await owner<{ counted: string; ledger: string }[]>`
        with bounds as (
          select
            least(date_trunc('day', ${span.since}::timestamptz + interval '24 hours'
              - interval '1 microsecond', 'UTC'), ${span.until}) as first_day,
            date_trunc('day', ${span.until}::timestamptz, 'UTC') as last_day
        )
        select
          (select coalesce(sum(u.tokens_used), 0)
            from bounds as b
            cross join lateral rate_limiter_internal.usage_between(
              'iops_l2', ${span.since}, b.first_day, greatest(b.last_day, b.first_day),
              ${span.until}
            ) as u
            where u.app_id = ${appId}) as counted,
          (select coalesce(-sum(t.tokens_change), 0)
            from rate_limiter.token_transactions as t
            where t.owner_id = ${appId}
              and t.transaction_type = 'consume'
              and t.created_at >= ${span.since}
              and t.created_at < ${span.until}) as ledger
      `;
      expect(Number(sums?.counted), `${from} to ${to}`).toBe(Number(sums?.ledger));
    }
  });
});

test("an application that did nothing is not locked: that would write its row", async () => {
  const idle = await makeApplication(database, { limit: 1000, burst: 100_000 });
  await consumeAt(0);
  await consumeAt(0, 1, idle);
  await count();
  await consumeAt(1);
  const locked = await sql.begin(async (transaction) => {
    await transaction`
      select from rate_limiter_private.refresh_daily_quota_usage(null, 1000, 20000)
    `;
    return transaction<{ id: string }[]>`
      select f.app_id as id
      from rate_limiter.app_facts as f
      where f.xmax = pg_current_xact_id()::xid
    `;
  });
  expect(locked.map(({ id }) => id)).toEqual([appId]);
});
