import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Sql } from "../../postgres/connect.ts";
import { connect } from "../../postgres/connect.ts";
import { withParameter } from "../../postgres/url.ts";
import type { Bench, Sample, Workload } from "../types.ts";

const rows = 1000;

/** Metrics through the function that gateways call, a thousand samples a call. */
export const ingestion: Workload = {
  name: "ingestion",
  says: "metric rows through record_metrics(), 1,000 a call, one session",
  unit: "rows per second",
  async start(bench) {
    const sql = session(bench, " -c role=rate_limiter_app");
    const { app } = await anyApplication(bench);
    const call = async () => {
      const samples = JSON.stringify(
        moments().map((timestamp, i) => ({
          ...{ timestamp, metric_name: "queue_depth", value: i, unit: "requests" },
          tags: { device: `disk-${i % 10}` },
        })),
      );
      await sql`select * from rate_limiter.record_metrics(${app}, ${samples}::text::jsonb)`;
    };
    return { round: () => repeat(bench.seconds, call), stop: () => sql.end() };
  },
};

export const copy: Workload = {
  name: "copy",
  says: "the same rows by bare COPY into the same table, 1,000 a statement, one session",
  unit: "rows per second",
  async start(bench) {
    const sql = session(bench, "");
    const { app, shard } = await anyApplication(bench);
    const call = async () => {
      const lines = moments().map(
        (timestamp, i) =>
          `${shard}\t${app}\t${timestamp}\tqueue_depth\t${i}\trequests\t{"device": "disk-${i % 10}"}\n`,
      );
      const target = await sql`
        copy rate_limiter.metrics (
          shard_key, app_id, "timestamp", metric_name, value, unit, tags
        ) from stdin
      `.writable();
      await pipeline(Readable.from([lines.join("")]), target);
    };
    return { round: () => repeat(bench.seconds, call), stop: () => sql.end() };
  },
};

function session(bench: Bench, options: string): Sql {
  const url = withParameter(bench.url, "options", `-c synchronous_commit=off${options}`);
  return connect(url, { max: 1 });
}

async function anyApplication({ sql }: Bench): Promise<{ app: string; shard: number }> {
  const [row] = await sql<[{ app: string; shard: number }]>`
    select f.app_id as app, f.shard_key as shard
    from rate_limiter.app_facts as f
    where f.app_id = md5('plain 1')::uuid
  `;
  return row;
}

/** Moments in the last ten seconds, no two the same in a run. */
function moments(): string[] {
  const now = Date.now();
  return Array.from({ length: rows }, (_, i) => new Date(now - 10 * i).toISOString());
}

async function repeat(seconds: number, call: () => Promise<void>): Promise<Sample> {
  const start = performance.now();
  const end = start + seconds * 1000;
  let calls = 0;
  while (performance.now() < end) {
    await call();
    calls += 1;
  }
  return { figure: (calls * rows * 1000) / (performance.now() - start) };
}
