import { beforeEach, describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";
import { failing, failuresOf } from "./failing.ts";

const database = await createDatabase();
const owner = database.as("rate_limiter_owner");
const worker = database.as("rate_limiter_worker");
let appId = "";

/** A minute that lies behind the quota's start, in each test another. */
let minute = Math.ceil(Date.now() / 60_000) * 60_000 + 60_000;

beforeEach(async () => {
  appId = await makeApplication(database, { limit: 10, burst: 100 });
  minute += 3_600_000;
  await database.sql`delete from rate_limiter_private.job_progress`;
});

const at = (seconds: number) => new Date(minute + seconds * 1000).toISOString();

async function recordAt(seconds: number, batchMinutes = 60): Promise<number> {
  const [row] = await worker<{ done: number }[]>`
    select rate_limiter_private.record_system_metrics(${at(seconds)}, ${batchMinutes}) as done
  `;
  return row?.done ?? 0;
}

async function numbersAt(seconds: number): Promise<Record<string, number>> {
  const rows = await database.sql<{ metric_name: string; value: number }[]>`
    select m.metric_name, m.value
    from rate_limiter.metrics as m
    where m.app_id = ${appId} and m."timestamp" = ${at(seconds)}
  `;
  return Object.fromEntries(rows.map((row) => [row.metric_name, row.value]));
}

async function consumeAt(seconds: number, times = 1): Promise<void> {
  for (let time = 0; time < times; time++) {
    await owner`
      select rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at(seconds)}, ${appId}, 'write_small', 0
      )
    `;
  }
}

async function denyAt(seconds: number, operations: number): Promise<void> {
  await owner`
    insert into rate_limiter.denial_counts
      (shard_key, app_id, minute, reason, operations, tokens, bytes, recorded_at)
    values (
      rate_limiter_internal.shard_key_of(${appId}), ${appId}, date_trunc('minute', ${at(seconds)}::timestamptz), 'iops_l2', ${operations}, 0, 0,
      ${at(seconds + 60)}
    )
  `;
}

describe("the system's own metrics", () => {
  test("tell by minute what the ledger and the counts of denials say", async () => {
    await consumeAt(1, 5);
    await owner`
      select rate_limiter_internal.consume_batch_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${at(2)}, ${appId}, array_fill('write_small'::text, array[200]),
        array_fill(0::bigint, array[200])
      )
    `;
    await denyAt(3, 4);
    const [lease] = await owner`
      select * from rate_limiter_internal.lease_tokens_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at(30)}, ${appId}, 20, 0
      )
    `;
    await owner`
      select rate_limiter_internal.settle_lease_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${at(30)}, ${appId}, ${lease?.lease_id}, 5, 0
      )
    `;
    await recordAt(61);
    const numbers = await numbersAt(60);
    const [ledger] = await database.sql<{ tokens: number; operations: number }[]>`
      select
        -sum(tokens_change)::double precision as tokens,
        sum(coalesce((metadata ->> 'operations')::integer, 1))::integer as operations
      from rate_limiter.token_transactions
      where owner_id = ${appId} and transaction_type = 'consume'
    `;
    expect(ledger?.operations).toBeGreaterThan(50);
    expect(ledger?.operations).toBeLessThan(205);
    expect(numbers).toMatchObject({
      qos_admitted_operations: ledger?.operations,
      qos_admitted_tokens: ledger?.tokens,
      qos_denied_operations: 4,
      qos_denied_operations_iops_l2: 4,
      qos_leases_granted: 1,
      qos_leased_tokens: 20,
      qos_returned_tokens: 15,
    });
    expect(numbers.qos_bucket_fill_iops).toBeGreaterThan(0);
  });

  test("leave out an application that fails, count it, and tell of the others", async () => {
    const other = await makeApplication(database, { limit: 10, burst: 100 });
    await consumeAt(1, 3);
    await owner`
      select rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${other}), ${at(1)}, ${other}, 'write_small', 0
      )
    `;
    await failing(database, "metrics", appId);
    expect(await recordAt(61)).toBe(60);
    const rows = await database.sql`
      select app_id, value from rate_limiter.metrics
      where metric_name = 'qos_admitted_operations' and app_id in (${appId}, ${other})
    `;
    expect([...rows]).toEqual([{ app_id: other, value: 1 }]);
    expect(await failuresOf(database, appId)).toEqual([
      { job: "record_system_metrics", failures: 1, error: "22003 fails on purpose" },
    ]);
  });

  test("are not kept from being told by a row that says nonsense or more than is allowed", async () => {
    await consumeAt(1, 3);
    await owner`
      update rate_limiter.token_transactions set metadata = '{"operations": "many"}'
      where owner_id = ${appId} and seq = 1
    `;
    await owner`
      update rate_limiter.token_transactions set tokens_change = -9.9e31
      where owner_id = ${appId} and seq = 2
    `;
    await recordAt(61);
    expect(await numbersAt(60)).toMatchObject({
      qos_admitted_operations: 3,
      qos_admitted_tokens: 1e30,
    });
  });

  test("change nothing when they are recorded twice", async () => {
    await consumeAt(1, 3);
    await recordAt(61);
    const before = await numbersAt(60);
    await database.sql`delete from rate_limiter_private.job_progress`;
    await recordAt(61);
    expect(await numbersAt(60)).toEqual(before);
    expect(before.qos_admitted_operations).toBe(3);
  });

  test("take in denials that a session handed in late", async () => {
    await denyAt(0, 2);
    await recordAt(61);
    await recordAt(601);
    await owner`
      insert into rate_limiter.denial_counts
        (shard_key, app_id, minute, reason, operations, tokens, bytes, recorded_at)
      values (
        rate_limiter_internal.shard_key_of(${appId}), ${appId}, date_trunc('minute', ${at(0)}::timestamptz), 'iops_l2', 5, 0, 0, ${at(610)}
      )
    `;
    await recordAt(661);
    expect((await numbersAt(60)).qos_denied_operations).toBe(7);
  });

  test("go on where they ended, however long no worker ran", async () => {
    await recordAt(1);
    await consumeAt(10, 2);
    await consumeAt(70, 3);
    const slices = [];
    do slices.push(await recordAt(60 * 35 + 1, 10));
    while (slices.at(-1));
    expect(slices).toEqual([10, 10, 10, 5, 0]);
    expect((await numbersAt(60)).qos_admitted_operations).toBe(2);
    expect((await numbersAt(120)).qos_admitted_operations).toBe(3);
  });

  test("fall back to zero, so that an alert can end", async () => {
    await denyAt(0, 9);
    await recordAt(61);
    await recordAt(121);
    expect((await numbersAt(120)).qos_denied_operations).toBe(0);
  });

  test("cost an application that has become idle one zero, and nothing from then on", async () => {
    await consumeAt(1);
    await denyAt(1, 3);
    for (const moment of [61, 121, 181, 241]) await recordAt(moment);
    expect(await numbersAt(120)).toMatchObject({
      qos_admitted_operations: 0,
      qos_denied_operations: 0,
    });
    expect(await numbersAt(180)).toEqual({});
    expect(await numbersAt(240)).toEqual({});
  });

  test("write a zero once when several minutes are caught up with", async () => {
    await recordAt(1);
    await consumeAt(70);
    await recordAt(541);
    const counted = [];
    for (let end = 60; end <= 540; end += 60) {
      counted.push((await numbersAt(end)).qos_admitted_operations);
    }
    expect(counted.slice(0, 4)).toEqual([undefined, 1, 0, undefined]);
    expect(counted.slice(4).every((value) => value === undefined)).toBe(true);
  });

  test("put no zero over what the next minute has counted", async () => {
    await denyAt(61, 4);
    await recordAt(61);
    await recordAt(301);
    await owner`
      insert into rate_limiter.denial_counts
        (shard_key, app_id, minute, reason, operations, tokens, bytes, recorded_at)
      values (
        rate_limiter_internal.shard_key_of(${appId}), ${appId},
        date_trunc('minute', ${at(0)}::timestamptz), 'iops_l2', 5, 0, 0, ${at(310)}
      )
    `;
    await recordAt(361);
    expect((await numbersAt(60)).qos_denied_operations).toBe(5);
    expect((await numbersAt(120)).qos_denied_operations).toBe(4);
  });

  test("tell of a bucket while it refills, and each minute only where an alert watches it", async () => {
    const slow = await makeApplication(database, { limit: 1, burst: 100 });
    const fills = async (app: string) => {
      const rows = await database.sql<{ minute: number; value: number }[]>`
        select extract(epoch from m."timestamp" - ${at(0)})::integer as minute, m.value
        from rate_limiter.metrics as m
        where m.app_id = ${app}
          and m.metric_name = 'qos_bucket_fill_iops'
          and m."timestamp" between ${at(0)} and ${at(600)}
        order by m."timestamp"
      `;
      return rows.map((row) => row.minute);
    };
    await owner`
      select rate_limiter_internal.consume_batch_at(
        rate_limiter_internal.app_shard_key(${slow}), ${at(30)}, ${slow},
        array_fill('write_small'::text, array[70]), array_fill(0::bigint, array[70])
      )
    `;
    await consumeAt(30);
    await recordAt(61);
    await recordAt(121);
    await recordAt(181);
    await recordAt(241);
    expect(await fills(slow)).toEqual([60, 120, 180]);
    await database.sql`
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
          notification_config)
      values (${slow}, 'qos_bucket_fill_iops', '<', 10, 60, 'warning', '{"channel": "log"}')
    `;
    await recordAt(301);
    await recordAt(361);
    expect(await fills(slow)).toEqual([60, 120, 180, 300, 360]);
    expect(await fills(appId)).toEqual([60]);
  });

  test("go back with a clock that steps back, and lose nothing", async () => {
    await consumeAt(70, 4);
    await recordAt(181);
    await recordAt(61);
    await recordAt(181);
    expect((await numbersAt(120)).qos_admitted_operations).toBe(4);
  });

  test("are told to Prometheus of the last minute that was recorded, unless that is long ago", async () => {
    const told = async () => {
      const [row] = await worker<{ value: number }[]>`
        select s.value from rate_limiter_private.metrics_snapshot() as s
        where s.name = 'operations_admitted'
      `;
      return row?.value;
    };
    for (const [minutesAgo, value] of [
      [1, 7],
      [2, 9],
      [6, 0],
    ] as const) {
      const minute = new Date(Math.floor(Date.now() / 60_000 - minutesAgo) * 60_000).toISOString();
      await database.sql`
        insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
        values (rate_limiter_internal.shard_key_of(${appId}), ${appId}, ${minute}, 'qos_admitted_operations', ${minutesAgo === 1 ? 7 : 9})
      `;
      await database.sql`
        insert into rate_limiter_private.job_progress (job, done_until)
        values ('record_system_metrics', ${minute})
        on conflict (job) do update set done_until = excluded.done_until
      `;
      expect(await told(), `${minutesAgo} minutes ago`).toBe(value);
    }
  });
});
