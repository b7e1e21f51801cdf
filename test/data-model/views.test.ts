import { describe, expect, test } from "vitest";
import { createDatabase } from "../harness/index.ts";
import { makeTwoTenants } from "./world.ts";

const database = await createDatabase();
const { mine } = await makeTwoTenants(database);

const owner = database.withTransaction.bind(null, "rate_limiter_owner", {});

describe("v_active_quotas", () => {
  test("looks at both ends of the time in force", async () => {
    await owner(async (sql) => {
      const limits = async () => {
        const rows = await sql`
          select iops_limit from rate_limiter.v_active_quotas where app_id = ${mine.appId}
        `;
        return rows.map((row) => row.iops_limit);
      };
      const move = (from: string, to: string | null) => sql`
        update rate_limiter.quota_configs
        set valid_from = now() + ${from}::interval, valid_to = now() + ${to}::interval
        where app_id = ${mine.appId}
      `;
      expect(await limits()).toEqual([100]);
      await move("1 hour", null);
      expect(await limits(), "not yet").toEqual([]);
      await move("-2 hours", "-1 hour");
      expect(await limits(), "no longer").toEqual([]);
      await move("-1 hour", "0");
      expect(await limits(), "ends just now").toEqual([]);
      await move("0", "1 hour");
      expect(await limits(), "starts just now").toEqual([100]);
    });
  });
});

describe("v_token_bucket_status", () => {
  test("shows what an idle bucket holds now, not what it held", async () => {
    await owner(async (sql) => {
      const set = (tokens: number, ago: string) => sql`
        update rate_limiter.token_buckets as b
        set current_tokens = ${tokens}, last_refill_at = statement_timestamp() - ${ago}::interval,
          capacity = 1000, refill_rate = 100, quota_valid_until = 'infinity'
        where b.bucket_id = ${mine.bucketId}
      `;
      const status = async () => {
        const [row] = await sql`
          select round(current_tokens)::integer as tokens, fill_percentage::float8 as fill, status
          from rate_limiter.v_token_bucket_status where bucket_id = ${mine.bucketId}
        `;
        return row;
      };
      await set(0, "1 hour");
      expect(await status()).toEqual({ tokens: 1000, fill: 100, status: "healthy" });
      await set(0, "1 second");
      expect(await status()).toMatchObject({ status: "critical" });
      await set(-5000, "1 second");
      const { tokens, ...debt } = (await status()) ?? {};
      expect(debt).toEqual({ fill: expect.closeTo(-490, -1), status: "debt" });
      expect(tokens).toBeLessThan(-4000);
      await set(200, "1 second");
      expect(await status()).toMatchObject({ status: "warning" });
      await set(400, "1 second");
      expect((await status())?.tokens).toBeGreaterThanOrEqual(500);
      expect((await status())?.tokens).toBeLessThan(510);
    });
  });

  test("shows no bucket whose quota is no longer in force", async () => {
    await owner(async (sql) => {
      const count = async () =>
        (
          await sql`
          select from rate_limiter.v_token_bucket_status where owner_id = ${mine.appId}
        `
        ).length;
      expect(await count()).toBe(2);
      await sql`
        update rate_limiter.quota_configs set is_active = false where app_id = ${mine.appId}
      `;
      expect(await count()).toBe(0);
    });
  });
});

describe("v_metrics_summary_24h", () => {
  test("counts each sample once, whatever the other table holds", async () => {
    await owner(async (sql) => {
      await sql`
        insert into rate_limiter.iops_metrics (shard_key, app_id, timestamp, read_ops)
        select 1, ${mine.appId}, now() - n * interval '1 minute', n from generate_series(1, 3) as n
      `;
      await sql`
        insert into rate_limiter.bandwidth_metrics (shard_key, app_id, timestamp, bytes_read)
        select 1, ${mine.appId}, now() - n * interval '1 minute', n * 10
        from generate_series(1, 4) as n
      `;
      await sql`
        insert into rate_limiter.iops_metrics (shard_key, app_id, timestamp, read_ops)
        values (1, ${mine.appId}, now() - interval '25 hours', 1000)
      `;
      const [row] = await sql`
        select avg_iops::float8, peak_iops::float8, avg_bandwidth_bytes::float8,
          peak_bandwidth_bytes::float8, iops_sample_count::integer, bandwidth_sample_count::integer
        from rate_limiter.v_metrics_summary_24h where app_id = ${mine.appId}
      `;
      // One empty sample of each came with the world.
      expect(row).toEqual({
        avg_iops: 1.5,
        peak_iops: 3,
        avg_bandwidth_bytes: 20,
        peak_bandwidth_bytes: 40,
        iops_sample_count: 4,
        bandwidth_sample_count: 5,
      });
    });
  });
});

describe("mv_daily_quota_usage", () => {
  test("adds up by day (UTC) and bucket what was consumed and refunded", async () => {
    const fresh = await createDatabase();
    const world = (await makeTwoTenants(fresh)).mine;
    await fresh.sql`select rate_limiter_private.make_partitions('2025-06-01')`;
    let seq = 1;
    for (const [moment, type, change, mode] of [
      ["2025-06-01 23:59:59.999999+00", "consume", -5, "enforce"],
      ["2025-06-02 00:00:00+00", "consume", -7, "enforce"],
      ["2025-06-02 00:00:01+00", "lease", -100, "enforce"],
      ["2025-06-02 00:00:02+00", "settle", 40, "enforce"],
      ["2025-06-02 00:00:03+00", "refund", 3, "enforce"],
      ["2025-06-02 00:00:04+00", "borrow", 1000, "enforce"],
      ["2025-06-02 00:00:05+00", "consume", -9, "shadow"],
    ] as const) {
      if (mode === "enforce") seq += 1;
      await fresh.sql`
        insert into rate_limiter.token_transactions (shard_key, owner_id, created_at, seq, bucket_type,
          mode, transaction_type, tokens_change, refilled, balance_after)
        values (rate_limiter_internal.shard_key_of(${world.appId}), ${world.appId}, ${moment}, ${seq}, 'iops_l2', ${mode}, ${type}, ${change}, 0, 0)
      `;
    }
    await fresh.sql`
      update rate_limiter.token_buckets set ledger_seq = ${seq}
      where owner_id = ${world.appId} and bucket_type = 'iops_l2' and mode = 'enforce'
    `;
    let isDone = false;
    while (!isDone) {
      const [slice] = await fresh.as("rate_limiter_worker")`
        select * from rate_limiter_private.refresh_daily_quota_usage()
      `;
      isDone = slice?.next_app_id === null;
    }
    const rows = await fresh.sql`
      select date::text, tokens_consumed::float8 as consumed, tokens_refunded::float8 as refunded,
        transaction_count::integer as rows
      from rate_limiter.mv_daily_quota_usage
      where app_id = ${world.appId} and date < '2025-07-01' order by date
    `;
    expect([...rows]).toEqual([
      { date: "2025-06-01", consumed: 5, refunded: 0, rows: 1 },
      { date: "2025-06-02", consumed: 67, refunded: 3, rows: 5 },
    ]);
  });
});

describe("views for monitoring", () => {
  const readonly = database.as("rate_limiter_readonly");

  test("tell the size of every table, partitions included", async () => {
    const rows = await readonly`select * from rate_limiter.v_table_sizes`;
    const metrics = rows.find((row) => row.table_name === "metrics");
    expect(Number(metrics?.total_bytes)).toBeGreaterThan(Number(metrics?.index_bytes));
    const [counted] = await database.sql`
      select count(*)::integer as count from pg_inherits
      where inhparent = 'rate_limiter.metrics'::regclass
    `;
    expect(Number(metrics?.partition_count)).toBe(counted?.count);
    const tenants = rows.find((row) => row.table_name === "tenants");
    expect(Number(tenants?.partition_count)).toBe(0);
    const [tables] = await database.sql`
      select count(*)::integer as count from pg_class as c
      where starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
        and c.relkind in ('r', 'p', 'm') and not c.relispartition
    `;
    expect(rows).toHaveLength(tables?.count);
  });

  test("tell the use of every index, the partitions' with their parent's", async () => {
    const [row] = await readonly`
      select count(*)::integer as count from rate_limiter.v_index_usage
      where schema_name = 'rate_limiter' and table_name = 'metrics'
    `;
    expect(row?.count).toBe(5);
    const names = await readonly`
      select from rate_limiter.v_index_usage where schema_name = 'rate_limiter_partitions'
    `;
    expect(names).toHaveLength(0);
  });

  test("tell the oldest row of each time-partitioned table", async () => {
    await database.sql`
      insert into rate_limiter.metrics (shard_key, app_id, timestamp, metric_name, value)
      values (1, ${mine.appId}, '2025-01-01 00:00+00', 'x', 1)
    `;
    const rows = await readonly`
      select table_name, oldest_record, retain_for::text as retain_for
      from rate_limiter.v_oldest_rows
    `;
    const metrics = rows.find((row) => row.table_name === "metrics");
    expect(metrics).toMatchObject({
      oldest_record: "2025-01-01 00:00:00+00",
      retain_for: "90 days",
    });
    expect(rows.find((row) => row.table_name === "alert_history")?.oldest_record).not.toBeNull();
  });

  test("tell the slow queries, or nothing where pg_stat_statements is not loaded", async () => {
    const [loaded] = await database.sql`
      select current_setting('pg_stat_statements.max', true) is not null
        and exists (select from pg_extension where extname = 'pg_stat_statements') as loaded
    `;
    const rows = await readonly`select * from rate_limiter.v_slow_queries`;
    expect(rows.length > 0).toBe(loaded?.loaded);
  });

  test("run as the caller wherever row-level security must hold", async () => {
    const rows = await database.sql<{ name: string }[]>`
      select c.relname as name from pg_class as c
      where starts_with(c.relnamespace::regnamespace::text, 'rate_limiter')
        and c.relkind = 'v'
        and has_table_privilege('rate_limiter_visitor', c.oid, 'select')
        and not coalesce(c.reloptions @> '{security_invoker=true}', false)
        and not coalesce(c.reloptions @> '{security_barrier=true}', false)
    `;
    expect([...rows]).toEqual([]);
  });
});
