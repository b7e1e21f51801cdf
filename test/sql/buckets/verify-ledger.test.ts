import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";

const database = await createDatabase();
const { sql } = database;
const owner = database.as("rate_limiter_owner");
const start = Date.now() + 60_000;
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();
let appId = "";

beforeEach(async () => {
  await sql`delete from rate_limiter_private.ledger_checks`;
  appId = await makeApplication(database, { limit: 10, burst: 1000 });
});

async function consume(seconds: number): Promise<void> {
  await owner`
    select rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${at(seconds)}, ${appId}, 'write_small', 0
    )
  `;
}

async function verify(seconds: number) {
  const [found] = await database.as("rate_limiter_worker")<
    { gap_count: string; first_gaps: { owner_id: string; problem?: string }[] }[]
  >`select * from rate_limiter_private.verify_ledger(${at(seconds)})`;
  return found;
}

describe("the nightly check of the ledger", () => {
  test("finds nothing where nothing is wrong, and goes on from there", async () => {
    await consume(1);
    expect(await verify(10)).toMatchObject({ gap_count: "0", first_gaps: [] });
    await consume(20);
    expect(await verify(86_400)).toMatchObject({ gap_count: "0" });
    const [last] = await sql`
      select from_time from rate_limiter_private.ledger_checks order by checked_at desc limit 1
    `;
    expect(Date.parse(last?.from_time)).toBe(start + 10_000 - 3_600_000);
  });

  test("finds a row that is missing, until it is explained", async () => {
    for (const seconds of [1, 2, 3, 4]) await consume(seconds);
    await sql`
      delete from rate_limiter.token_transactions where owner_id = ${appId} and seq = 2
    `;
    const found = await verify(10);
    expect(found?.gap_count).toBe("1");
    expect(found?.first_gaps).toMatchObject([{ owner_id: appId, seq: 3 }]);
    expect((await verify(86_400))?.gap_count).toBe("1");
    await sql`
      delete from rate_limiter.token_transactions where owner_id = ${appId};
    `;
    await sql`delete from rate_limiter.token_buckets where owner_id = ${appId}`;
    expect((await verify(86_500))?.gap_count).toBe("0");
  });

  test("does not look for rows that have expired", async () => {
    const lose = () => sql`delete from rate_limiter.token_transactions where owner_id = ${appId}`;
    await consume(1);
    await lose();
    expect((await verify(10))?.gap_count).toBe("1");
    // No decision has drawn on it since before the oldest partition.
    await sql`
      update rate_limiter.token_buckets set updated_at = now() - interval '10 years'
      where owner_id = ${appId}
    `;
    expect((await verify(20))?.gap_count).toBe("0");
    await consume(30);
    await lose();
    expect((await verify(40))?.gap_count).toBe("1");
    await sql`delete from rate_limiter.token_buckets where owner_id = ${appId}`;
  });

  test("does not take a change of quota for a row", async () => {
    const look = (seconds: number) =>
      sql`
        select rate_limiter_internal.lock_buckets(
          rate_limiter_internal.shard_key_of(${appId}), ${at(seconds)}, ${appId}, null, true, true
        )
      `;
    const publish = (seconds: number, burst: number) =>
      sql`
        select rate_limiter_internal.publish_quota_at(
          ${at(seconds)}, ${appId}, null, 'enforce', null, null,
          ${JSON.stringify({
            ...{ iops_limit: 20, iops_burst: burst, burst_duration_seconds: 1, refill_rate: 20 },
          })}::text::jsonb,
          null, 'test'
        )
      `;
    // A full bucket and the one row that says so, which has expired.
    await look(1);
    await sql`delete from rate_limiter.token_transactions where owner_id = ${appId}`;
    await sql`
      update rate_limiter.token_buckets set updated_at = now() - interval '10 years'
      where owner_id = ${appId}
    `;
    await publish(2000, 2000);
    await look(3000);
    expect(await verify(3010)).toMatchObject({ gap_count: "0", first_gaps: [] });
    // Dormant, and back.
    await sql`
      select rate_limiter_internal.cancel_quota_at(${at(4000)}, c, 'test')
      from rate_limiter.quota_configs as c
      where c.app_id = ${appId} and c.valid_to is null
    `;
    await look(4500);
    expect(await verify(4510)).toMatchObject({ gap_count: "0", first_gaps: [] });
    await publish(5000, 3000);
    await look(5500);
    expect(await verify(5510)).toMatchObject({ gap_count: "0", first_gaps: [] });
    // Refill is a change: it has a row, which is missed.
    await look(6000);
    await consume(6000);
    await sql`delete from rate_limiter.token_transactions where owner_id = ${appId}`;
    expect(await verify(6010)).toMatchObject({ gap_count: "1" });
    await sql`delete from rate_limiter.token_buckets where owner_id = ${appId}`;
  });

  test("covers reserves, and what a change of them takes away", async () => {
    const [cluster] = await sql`
      insert into rate_limiter.clusters (name, region) values (${appId}, 'north')
      returning cluster_id
    `;
    const clusterId = cluster?.cluster_id;
    await sql`
      select rate_limiter_internal.publish_quota_at(
        ${at(-10)}, null, ${clusterId}, 'enforce', null, null,
        '{"iops_limit": 100, "iops_burst": 200, "burst_duration_seconds": 1, "refill_rate": 100}',
        null, 'test'
      )
    `;
    await sql`
      update rate_limiter.applications set cluster_id = ${clusterId} where app_id = ${appId}
    `;
    const reserve = async (seconds: number, iops: number) => {
      await sql`
        insert into rate_limiter.reservations
          (app_id, cluster_id, reserved_iops, reservation_seconds)
        values (${appId}, ${clusterId}, ${iops}, 2)
        on conflict (app_id) do update set reserved_iops = excluded.reserved_iops
      `;
      await owner`select rate_limiter_internal.sync_reserves_at(${at(seconds)}, ${clusterId})`;
    };
    await reserve(0, 20);
    for (let seconds = 1; seconds < 4; seconds++) await consume(seconds);
    await reserve(4, 5);
    await consume(5);
    const rows = await sql`
      select transaction_type, tokens_change
      from rate_limiter.token_transactions
      where owner_id = ${appId} and bucket_type = 'iops_reserve'
      order by seq
    `;
    // Forty were held, and ten is what the smaller reserve holds.
    expect(rows.map((row) => ({ ...row }))).toEqual([
      { transaction_type: "adjust", tokens_change: "-30.000000" },
    ]);
    expect(await verify(10)).toMatchObject({ gap_count: "0", first_gaps: [] });
    await sql`
      update rate_limiter.token_transactions set balance_after = balance_after + 1
      where owner_id = ${appId} and bucket_type = 'iops_reserve'
    `;
    expect((await verify(20))?.gap_count).not.toBe("0");
    for (const table of ["token_transactions", "token_buckets"]) {
      await sql`
        delete from ${sql(`rate_limiter.${table}`)} where owner_id in (${appId}, ${clusterId})
      `;
    }
  });

  test("is not misled by a clock that stepped back over the start of its span", async () => {
    const span = 10_000;
    await consume(span + 5);
    await consume(span - 5);
    await consume(span + 6);
    await sql`
      insert into rate_limiter_private.ledger_checks (from_time, checked_at, gap_count)
      values ('-infinity', ${at(span + 3600)}, 0)
    `;
    expect(await verify(span + 7200)).toMatchObject({ gap_count: "0" });
  });

  test("goes from owner to owner in slices, and finds in them what it finds at once", async () => {
    const other = await makeApplication(database, { limit: 10, burst: 1000 });
    for (const seconds of [1, 2, 3, 4]) await consume(seconds);
    await sql`
      delete from rate_limiter.token_transactions where owner_id = ${appId} and seq = 3
    `;
    // Rows without a bucket are of a slice, too.
    await sql`
      insert into rate_limiter.token_transactions
        (shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
         refilled, balance_after)
      select f.shard_key, gen_random_uuid(), ${at(1)}, 1, 'iops_l2', 'enforce', 'consume', -1, 0, 5
      from rate_limiter.app_facts as f
      where f.app_id = ${other}
    `;
    const slices: { is_done: boolean; gap_count: string; first_gaps: object[] }[] = [];
    do {
      const [slice] = await database.as("rate_limiter_worker")<(typeof slices)[number][]>`
        select * from rate_limiter_private.verify_ledger(${at(10)}, 1)
      `;
      if (slice) slices.push(slice);
    } while (slices.at(-1)?.is_done === false);
    const [owners] = await sql`
      select count(distinct b.owner_id)::integer as count from rate_limiter.token_buckets as b
    `;
    expect(slices.length).toBe(owners?.count);
    const last = slices.at(-1);
    expect(last?.gap_count).toBe("2");
    const [kept] = await sql`
      select gap_count, first_gaps from rate_limiter_private.ledger_checks
    `;
    expect(kept).toMatchObject({ gap_count: "2", first_gaps: last?.first_gaps });
    const whole = await sql`select g.* from rate_limiter.verify_ledger() as g`;
    expect(whole.count).toBe(2);
    await sql`delete from rate_limiter.token_transactions`;
    await sql`delete from rate_limiter.token_buckets where owner_id = ${appId}`;
  });

  test("does not lose an application that moves behind it between two slices", async () => {
    const clusters = await sql<{ cluster_id: string; shard_key: number }[]>`
      insert into rate_limiter.clusters (name, region)
      select gen_random_uuid()::text, 'north' from generate_series(1, 2)
      returning cluster_id, shard_key
    `;
    const [low, high] = clusters.toSorted((a, b) => a.shard_key - b.shard_key);
    const place = (app: string, cluster: string | undefined) => sql`
      update rate_limiter.applications set cluster_id = ${cluster ?? null} where app_id = ${app}
    `;
    const other = await makeApplication(database, { limit: 10, burst: 1000 });
    await place(other, low?.cluster_id);
    await place(appId, high?.cluster_id);
    for (const seconds of [1, 2, 3, 4]) await consume(seconds);
    await sql`
      delete from rate_limiter.token_transactions where owner_id = ${appId} and seq = 3
    `;
    const slice = async () => {
      const [answer] = await database.as("rate_limiter_worker")`
        select * from rate_limiter_private.verify_ledger(${at(10)}, 1)
      `;
      return answer;
    };
    // Until the next slice begins behind the place that the application moves to.
    const isPast = async () => {
      const [progress] = await sql`
        select p.next_key > ${low?.shard_key ?? 0} as is_past
        from rate_limiter_private.ledger_check_progress as p
      `;
      return progress?.is_past;
    };
    do await slice();
    while (!(await isPast()));
    await place(appId, low?.cluster_id);
    let last = await slice();
    while (!last?.is_done) last = await slice();
    const gaps = last?.first_gaps.filter((gap: { owner_id: string }) => gap.owner_id === appId);
    expect(gaps).toMatchObject([{ seq: 4 }]);
    await sql`delete from rate_limiter.token_transactions where owner_id = ${appId}`;
    await sql`delete from rate_limiter.token_buckets where owner_id = ${appId}`;
  });

  test("reads of the ledger what is of its slice alone", async () => {
    const apps = [appId];
    for (let app = 0; app < 3; app++) {
      apps.push(await makeApplication(database, { limit: 10, burst: 1000 }));
    }
    await owner`
      select rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(a), ${at(5)}, a, 'write_small', 0
      )
      from unnest(${apps}::uuid[]) as a
      cross join generate_series(1, 50)
    `;
    const session = await database.session("counting", "rate_limiter_worker");
    // A ledger of this size may be read as a whole, by what some versions guess of it.
    await session.sql`set enable_seqscan = off`;
    const read = async () => {
      const [row] = await session.sql<{ rows: number }[]>`
        select sum(s.seq_tup_read + coalesce(s.idx_tup_fetch, 0))::float8 as rows
        from pg_stat_xact_all_tables as s
        where s.relname ~ '^token_transactions_'
      `;
      return row?.rows ?? 0;
    };
    let isDone = false;
    const rows: number[] = [];
    while (!isDone) {
      await session.sql`begin`;
      const before = await read();
      const [slice] = await session.sql`
        select is_done from rate_limiter_private.verify_ledger(${at(10)}, 1)
      `;
      rows.push((await read()) - before);
      await session.sql`commit`;
      isDone = slice?.is_done;
    }
    await session.close();
    expect(rows.filter((count) => count > 0).length).toBeGreaterThanOrEqual(apps.length);
    expect(Math.max(...rows)).toBeLessThanOrEqual(60);
  });
});
