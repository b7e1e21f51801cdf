import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";
import { failing, failuresOf } from "./failing.ts";

const database = await createDatabase();
const worker = database.as("rate_limiter_worker");
let appId = "";

beforeEach(async () => {
  await database.sql`delete from rate_limiter_private.metric_changes`;
  appId = await makeApplication(database);
});

/** Two hours ago: what is recorded 70 minutes later is past too, at any minute of the hour. */
const someHour = Math.floor(Date.now() / 3_600_000) * 3_600_000 - 2 * 3_600_000;

async function record(
  values: readonly number[],
  offsetMinutes = 0,
  recordedFor = appId,
): Promise<void> {
  const samples = values.map((value, index) => ({
    timestamp: new Date(someHour + offsetMinutes * 60_000 + index * 1000).toISOString(),
    metric_name: "depth",
    value,
  }));
  const gateway = database.as("rate_limiter_app");
  await gateway`select rate_limiter.record_metrics(${recordedFor}, ${gateway.json(samples)})`;
}

async function aggregate(): Promise<void> {
  for (const grain of ["hour", "day"]) {
    let done = 0;
    do {
      const [row] = await worker<{ done: number }[]>`
        select rate_limiter_private.aggregate_metrics(
          ${grain}, 3, clock_timestamp() + interval '24 hours'
        ) as done
      `;
      done = row?.done ?? 0;
    } while (done >= 3);
  }
}

async function aggregateHours(): Promise<void> {
  await worker`select rate_limiter_private.aggregate_metrics('hour')`;
}

/** Samples and marks that it takes to aggregate all that is to be, in batches of this size. */
async function rowsRead(grain: "hour" | "day", batchSize: number): Promise<number> {
  const { sql } = await database.session("counting", "rate_limiter_worker");
  const read = async () => {
    const [row] = await sql<{ rows: number }[]>`
      select sum(s.seq_tup_read + s.idx_tup_fetch)::float8 as rows
      from pg_stat_xact_all_tables as s
      where s.relname = 'metric_changes' or s.relname ~ '^metrics_(y|default)'
    `;
    return row?.rows ?? 0;
  };
  await sql`begin`;
  const before = await read();
  let done = 0;
  do {
    const [row] = await sql<{ done: number }[]>`
      select rate_limiter_private.aggregate_metrics(
        ${grain}, ${batchSize}, clock_timestamp() + interval '24 hours'
      ) as done
    `;
    done = row?.done ?? 0;
  } while (done >= batchSize);
  const after = await read();
  await sql`commit`;
  return after - before;
}

/** Rows that differ from what the raw samples say, whichever side has them. */
async function differences(table: "metrics_hourly" | "metrics_daily") {
  const unit = table === "metrics_hourly" ? "hour" : "day";
  return database.sql`
    with fresh as (
      select
        m.shard_key, m.app_id, m.metric_name, date_trunc(${unit}, m."timestamp", 'UTC') as bucket,
        avg(m.value order by m.value), min(m.value), max(m.value),
        percentile_cont(0.5) within group (order by m.value),
        percentile_cont(0.95) within group (order by m.value),
        percentile_cont(0.99) within group (order by m.value), count(*)
      from rate_limiter.metrics as m
      where m.app_id = ${appId}
      group by 1, 2, 3, 4
    ),
    kept as (select * from rate_limiter.${database.sql(table)} where app_id = ${appId})
    (table fresh except table kept) union all (table kept except table fresh)
  `;
}

describe("aggregates", () => {
  test("are exact against a recomputation from raw, hourly and daily", async () => {
    await record(Array.from({ length: 500 }, () => Math.random() * 10 ** (Math.random() * 20)));
    await record([0.1, 0.2, 0.3, -5, 1e17], 70);
    await aggregate();
    expect([...(await differences("metrics_hourly"))]).toEqual([]);
    expect([...(await differences("metrics_daily"))]).toEqual([]);
    const [row] = await database.sql`
      select count(*)::integer as hours from rate_limiter.metrics_hourly where app_id = ${appId}
    `;
    expect(row?.hours).toBe(2);
  });

  test("take in the largest values that are accepted", async () => {
    await record([1e30, -1e30, 1e30, 1e-30]);
    await aggregate();
    expect([...(await differences("metrics_hourly"))]).toEqual([]);
    expect([...(await differences("metrics_daily"))]).toEqual([]);
  });

  test("leave out an application that fails, count it, and do the others' work", async () => {
    await failing(database, "metrics_hourly", appId);
    const other = await makeApplication(database);
    await record([1, 2]);
    await record([3], 0, other);
    await aggregate();
    const rows = await database.sql<{ app_id: string }[]>`
      select app_id from rate_limiter.metrics_hourly where app_id in (${appId}, ${other})
      union all
      select app_id from rate_limiter.metrics_daily where app_id in (${appId}, ${other})
    `;
    expect(rows.map((row) => row.app_id)).toEqual([other, other]);
    expect(await failuresOf(database, appId)).toEqual([
      { job: "aggregate_metrics", failures: 1, error: "22003 fails on purpose" },
    ]);
    const [left] = await database.sql`
      select count(*)::integer as count from rate_limiter_private.metric_changes
    `;
    expect(left?.count).toBe(0);
  });

  test("are tried again as a whole where nothing is wrong with an application", async () => {
    await failing(database, "metrics_hourly", appId, { code: "55P03" });
    await record([1, 2]);
    await expectSqlState(worker`select rate_limiter_private.aggregate_metrics('hour')`, "55P03");
    expect(await failuresOf(database, appId)).toEqual([]);
    const [left] = await database.sql`
      select count(*)::integer as count from rate_limiter_private.metric_changes
    `;
    expect(left?.count).toBe(1);
  });

  test("take in what comes late, and only that", async () => {
    await record([1, 2, 3]);
    await aggregate();
    await record([100], 30);
    expect((await differences("metrics_hourly")).count).toBe(2);
    await aggregate();
    expect([...(await differences("metrics_hourly"))]).toEqual([]);
    const [left] = await database.sql`
      select count(*)::integer as count from rate_limiter_private.metric_changes
      where app_id = ${appId}
    `;
    expect(left?.count).toBe(0);
  });

  test("are remade by hand where samples came another way", async () => {
    await database.sql`
      insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
      values (rate_limiter_internal.shard_key_of(${appId}), ${appId}, ${new Date(someHour).toISOString()}, 'depth', 7)
    `;
    await aggregate();
    expect((await differences("metrics_hourly")).count).toBe(1);
    await worker`
      select rate_limiter_private.mark_for_aggregation(
        ${new Date(someHour).toISOString()}, ${new Date(someHour + 1000).toISOString()}
      )
    `;
    await aggregate();
    expect([...(await differences("metrics_hourly"))]).toEqual([]);
  });

  test("of samples that have expired stay as they were, whatever comes late", async () => {
    await record([1, 2, 3]);
    await aggregate();
    await database.sql`delete from rate_limiter.metrics where app_id = ${appId}`;
    await record([100], 30);
    await aggregate();
    for (const table of ["metrics_hourly", "metrics_daily"]) {
      const [kept] = await database.sql`
        select sample_count::integer as count, max_value as most
        from rate_limiter.${database.sql(table)}
        where app_id = ${appId}
      `;
      expect({ ...kept }).toEqual({ count: 3, most: 3 });
    }
  });

  test("lose no sample whose transaction is open while they are made", async () => {
    await record([1]);
    await aggregate();
    const gateway = await database.session("gateway", "rate_limiter_app");
    await gateway.sql`begin`;
    const samples = [
      { timestamp: new Date(someHour + 5000).toISOString(), metric_name: "depth", value: 9 },
    ];
    await gateway.sql`select rate_limiter.record_metrics(${appId}, ${worker.json(samples)})`;
    await record([5], 20);
    await aggregate();
    await gateway.sql`commit`;
    await aggregate();
    expect([...(await differences("metrics_hourly"))]).toEqual([]);
    expect([...(await differences("metrics_daily"))]).toEqual([]);
  });

  test("are made by one at a time: a second run leaves the work to the first", async () => {
    await record([1, 2]);
    const first = await database.session("first", "rate_limiter_worker");
    await first.sql`begin`;
    const [a] = await first.sql`select rate_limiter_private.aggregate_metrics('hour') as done`;
    const [b] = await worker`select rate_limiter_private.aggregate_metrics('hour') as done`;
    await first.sql`commit`;
    expect([a?.done, b?.done]).toEqual([1, null]);
    await aggregate();
    expect([...(await differences("metrics_hourly"))]).toEqual([]);
  });

  test("of hours and of days hold up none of the other grain", async () => {
    await record([1, 2]);
    const first = await database.session("hours", "rate_limiter_worker");
    await first.sql`begin`;
    await first.sql`select rate_limiter_private.aggregate_metrics('hour')`;
    const [day] = await worker`select rate_limiter_private.aggregate_metrics('day') as done`;
    await first.sql`commit`;
    expect(day?.done).toBe(0);
    await aggregate();
    expect([...(await differences("metrics_daily"))]).toEqual([]);
  });

  test("of a day are made when it is over, from one mark", async () => {
    await record([1, 2]);
    await aggregateHours();
    await record([3], 5);
    await record([4], 70);
    await aggregateHours();
    const [day] = await worker`
      select rate_limiter_private.aggregate_metrics('day', 500, ${new Date(someHour).toISOString()})
        as done
    `;
    const [left] = await database.sql`
      select count(*)::integer as marks, count(distinct c.bucket)::integer as days
      from rate_limiter_private.metric_changes as c
      where c.grain = 'day' and c.app_id = ${appId}
    `;
    expect(day?.done).toBe(0);
    expect(left?.marks).toBe(left?.days);
    await aggregate();
    expect([...(await differences("metrics_daily"))]).toEqual([]);
  });

  test("lose no hour that comes while its day is being made", async () => {
    await record([1]);
    await aggregateHours();
    const days = await database.session("days", "rate_limiter_worker");
    await days.sql`begin`;
    await days.sql`
      select rate_limiter_private.aggregate_metrics('day', 500, now() + interval '24 hours')
    `;
    await record([2], 1);
    await aggregateHours();
    await days.sql`commit`;
    await aggregate();
    expect([...(await differences("metrics_daily"))]).toEqual([]);
  });

  test("read the same for each series however many there are, on statistics of an empty table", async () => {
    await database.sql`delete from rate_limiter.metrics`;
    await database.sql`vacuum analyze rate_limiter.metrics, rate_limiter_private.metric_changes`;
    const perSeries: number[] = [];
    for (const series of [200, 2000]) {
      await database.sql`
        with samples as (
          insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
          select
            rate_limiter_internal.shard_key_of(${appId}), ${appId},
            ${new Date(someHour).toISOString()}, ${`of ${series}: `} || i, i
          from generate_series(1, ${series}::integer) as i
          returning *
        )
        insert into rate_limiter_private.metric_changes (grain, app_id, metric_name, bucket)
        select 'hour', s.app_id, s.metric_name, date_trunc('hour', s."timestamp", 'UTC')
        from samples as s
      `;
      perSeries.push(((await rowsRead("hour", 100)) + (await rowsRead("day", 100))) / series);
    }
    const [few = 0, many = 0] = perSeries;
    expect(few).toBeGreaterThan(3);
    expect(many / few).toBeLessThan(1.3);
    expect([...(await differences("metrics_hourly"))]).toEqual([]);
    expect([...(await differences("metrics_daily"))]).toEqual([]);
  });
});
