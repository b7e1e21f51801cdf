import { describe, expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";

const database = await createDatabase();
const { sql } = database;
const worker = database.as("rate_limiter_worker");
const owner = database.as("rate_limiter_owner");
const start = Date.now();
const hour = 3600;
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();

/** Every job that is told the moment, as workers run them when the clock says this. */
async function runJobs(seconds: number): Promise<void> {
  const now = at(seconds);
  await worker`select rate_limiter_private.collect_borrowings(${now})`;
  await worker`select rate_limiter_private.expire_leases(${now})`;
  await worker`select rate_limiter_private.expire_sessions(${now})`;
  await worker`select rate_limiter_private.record_system_metrics(${now})`;
  await worker`select rate_limiter_private.evaluate_alerts(${now})`;
  await worker`select rate_limiter_private.dead_letter_stale_notifications(${now})`;
  await worker`select rate_limiter_private.sync_quota_flags(${now})`;
  await worker`select rate_limiter_private.make_partitions(${now})`;
  await worker`select rate_limiter_private.drain_default_partitions(${now})`;
  for (const grain of ["hour", "day"]) {
    await worker`select rate_limiter_private.aggregate_metrics(${grain})`;
  }
  await worker`select rate_limiter_private.apply_retention(${now})`;
  await worker`select rate_limiter_private.verify_ledger(${now})`;
}

async function consume(appId: string, seconds: number): Promise<void> {
  await owner`select rate_limiter_internal.consume_at(
    rate_limiter_internal.app_shard_key(${appId}), ${at(seconds)}, ${appId}, 'write_small', 0
  )`;
}

async function borrow(appId: string, seconds: number): Promise<void> {
  await owner`
    select rate_limiter_internal.borrow_tokens_at(
      ${at(seconds)}, ${appId}, 'iops_l2', 2, interval '60 seconds'
    )
  `;
}

describe("a clock that steps an hour", () => {
  test("ahead and back, once and again, breaks no job and no ledger", async () => {
    const appId = await makeApplication(database, { limit: 100, burst: 10_000 });
    await sql`
      insert into rate_limiter.alert_configs
        (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
         cooldown_seconds, notification_config)
      values (${appId}, 'depth', '>', 1, 60, 'info', 7200, '{"channel": "log"}')
    `;
    const gateway = database.as("rate_limiter_app");
    const samples = [{ timestamp: at(-1), metric_name: "depth", value: 5 }];
    await gateway`select rate_limiter.record_metrics(${appId}, ${gateway.json(samples)})`;
    await owner`
      select rate_limiter_internal.lease_tokens_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at(0)}, ${appId}, 5, 0, interval '10 seconds'
      )
    `;

    for (const seconds of [1, hour, 2, hour + 1, 3, 120, hour + 120]) {
      await consume(appId, seconds);
      await borrow(appId, seconds);
      await runJobs(seconds);
    }
    await runJobs(3 * hour);

    const [left] = await sql`
      select
        (select array_agg(distinct b.status::text) from rate_limiter.token_borrowing as b
          where b.owner_id = ${appId}) as borrowings,
        (select count(*)::integer from rate_limiter.token_leases as l
          where l.app_id = ${appId} and l.settled_at is null) as leases,
        (select count(*)::integer from rate_limiter.alert_history as h
          where h.app_id = ${appId}) as alerts,
        (select count(*)::integer from rate_limiter.metrics as m
          where m.app_id = ${appId} and m.metric_name = 'depth') as samples,
        (select sum(h.sample_count)::integer from rate_limiter.metrics_hourly as h
          where h.app_id = ${appId} and h.metric_name = 'depth') as aggregated,
        (select max(c.gap_count)::integer from rate_limiter_private.ledger_checks as c) as gaps
    `;
    expect(left).toEqual({
      borrowings: ["repaid"],
      leases: 0,
      alerts: 1,
      samples: 1,
      aggregated: 1,
      gaps: 0,
    });
    const [tokens] = await sql`
      select
        sum(t.tokens_change) filter (where t.transaction_type = 'repay')::float8 as repaid,
        (select -sum(b.repayment_tokens)::float8 from rate_limiter.token_borrowing as b
          where b.owner_id = ${appId}) as owed
      from rate_limiter.token_transactions as t where t.owner_id = ${appId}
    `;
    expect(tokens?.repaid).toBe(tokens?.owed);
    expect([...(await sql`select * from rate_limiter.verify_ledger()`)]).toEqual([]);
  });
});
