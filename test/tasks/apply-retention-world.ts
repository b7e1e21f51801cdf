import { Logger, runOnce } from "graphile-worker";
import pg from "pg";
import { afterAll } from "vitest";
import { drainDefaultPartitions } from "../../src/archive/drain-default-partitions.ts";
import { workerSettings } from "../../src/worker/settings.ts";
import { makeTask } from "../../tasks/apply_retention.ts";
import type { TestDatabase } from "../harness/index.ts";

export const daysAgo = (days: number, seconds = 0) =>
  new Date(Date.now() - days * 86_400_000 - seconds * 1000).toISOString();

/** What tests of retention do to a database of theirs. Call it at the top of the file. */
export function retentionWorld(database: TestDatabase) {
  const { sql } = database;
  const pool = new pg.Pool({ connectionString: database.urlAs("rate_limiter_worker"), max: 4 });
  pool.on("connect", (client) => client.on("error", () => {}));
  pool.on("error", () => {});
  afterAll(() => pool.end());

  return {
    /** Runs the task as the queue does; answers the error of its last failure. */
    async applyRetention(env: NodeJS.ProcessEnv = {}): Promise<string | null> {
      await pool.query("select graphile_worker.add_job('apply_retention', job_key => 'retention')");
      await runOnce({
        pgPool: pool,
        logger: new Logger(() => () => {}),
        taskList: { apply_retention: makeTask(workerSettings(env)) },
        concurrency: 1,
        noHandleSignals: true,
        // In batches, so that the run ends when their outcome is written.
        preset: { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
      });
      const answer = await pool.query(
        "select last_error from graphile_worker.jobs where key = 'retention'",
      );
      await pool.query("select graphile_worker.remove_job('retention')");
      return answer.rows[0]?.last_error ?? null;
    },

    async withClient<T>(use: (client: pg.PoolClient) => Promise<T>): Promise<T> {
      const client = await pool.connect();
      try {
        return await use(client);
      } finally {
        client.release();
      }
    },

    async exportFirst(dataType: string): Promise<void> {
      await sql`
        update rate_limiter.retention_policies set export_first = true
        where data_type = ${dataType}
      `;
    },

    /** Old samples, in a partition of their own day. */
    async oldMetrics(appId: string, days: number, count = 3): Promise<void> {
      await sql`
        insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value, tags, unit)
        select
          rate_limiter_internal.shard_key_of(${appId}), ${appId}, ${daysAgo(days)}::timestamptz, 'depth', n / 3.0::double precision,
          jsonb_build_object('text', E'a "b"\n,c' || n), case when n = 2 then '' end
        from generate_series(1, ${count}::integer) as n
      `;
      await drainDefaultPartitions(sql);
    },

    /** What oldMetrics made: a worker that runs measures buckets by itself at each minute. */
    async metricRows(appId: string): Promise<string[]> {
      const rows = await sql<{ line: string }[]>`
        select m::text as line
        from rate_limiter.metrics as m
        where m.app_id = ${appId} and m.metric_name = 'depth'
        order by 1
      `;
      return rows.map((row) => row.line);
    },
  };
}
