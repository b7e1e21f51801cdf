import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { makeApplication } from "../denials/world.ts";

const database = await createDatabase();
const gateway = database.as("rate_limiter_app");
const now = new Date().toISOString();

type Samples = readonly unknown[];

async function recordMetrics(appId: string, samples: Samples) {
  const rows = await gateway<{ position: number; problem: string }[]>`
    select * from rate_limiter.record_metrics(${appId}, ${gateway.json(samples as never)})
  `;
  return rows.map(({ position, problem }) => [position, problem]);
}

async function storedValues(appId: string): Promise<number[]> {
  const rows = await database.sql<{ value: number }[]>`
    select m.value from rate_limiter.metrics as m where m.app_id = ${appId} order by m.value
  `;
  return rows.map((row) => row.value);
}

describe("record_metrics", () => {
  test("stores the good samples and answers what is wrong with the others", async () => {
    const appId = await makeApplication(database);
    const good = { timestamp: now, metric_name: "depth", value: 1 };
    const rejected = await recordMetrics(appId, [
      good,
      7,
      { ...good, timestamp: "yesterday" },
      { ...good, timestamp: "2026-02-30T00:00:00Z" },
      { ...good, timestamp: "2026-02-28T00:00:00+16:00" },
      { ...good, timestamp: "2026-01-01T00:00:00" },
      { ...good, timestamp: "1999-01-01T00:00:00Z" },
      { ...good, timestamp: "2999-01-01T00:00:00Z" },
      { ...good, metric_name: " " },
      { ...good, metric_name: 5 },
      { ...good, metric_name: "qos_admitted_operations" },
      { ...good, value: "1" },
      { timestamp: now, metric_name: "depth" },
      { ...good, metric_id: "no" },
      { ...good, tags: [] },
      { ...good, unit: "x".repeat(51) },
      { ...good, value: 2, tags: { node: "a" }, unit: "requests", metric_id: crypto.randomUUID() },
    ]);
    expect(rejected).toEqual([
      [2, "sample is not an object"],
      [3, "timestamp is not a moment with an offset"],
      [4, "timestamp is not a moment with an offset"],
      [5, "timestamp is not a moment with an offset"],
      [6, "timestamp is not a moment with an offset"],
      [7, "timestamp is older than metrics are kept"],
      [8, "timestamp is in the future"],
      [9, "metric_name is not of 1 to 255 characters"],
      [10, "metric_name is not of 1 to 255 characters"],
      [11, "metric_name begins with qos_"],
      [12, "value is not a number"],
      [13, "value is not a number"],
      [14, "metric_id is not a UUID"],
      [15, "tags is not an object"],
      [16, "unit is longer than 50 characters"],
    ]);
    expect(await storedValues(appId)).toEqual([1, 2]);
  });

  test("answers a number that no double holds", async () => {
    const appId = await makeApplication(database);
    const [row] = await gateway`
      select problem from rate_limiter.record_metrics(
        ${appId},
        jsonb_build_array(jsonb_build_object(
          'timestamp', ${now}::text, 'metric_name', 'depth', 'value', '1e400'::numeric
        ))
      )
    `;
    expect(row?.problem).toBe("value is out of bounds");
  });

  test("refuses values and tags that no aggregate could take in", async () => {
    const appId = await makeApplication(database);
    const good = { timestamp: now, metric_name: "depth", value: 1 };
    const rejected = await recordMetrics(appId, [
      { ...good, value: 1e30, tags: { note: "x".repeat(4000) } },
      { ...good, value: -1e30 },
      { ...good, value: 1e-30 },
      { ...good, value: 1e200 },
      { ...good, value: -1.1e30 },
      { ...good, value: 1e-31 },
      { ...good, tags: { note: "x".repeat(4096) } },
    ]);
    expect(rejected).toEqual([
      [4, "value is out of bounds"],
      [5, "value is out of bounds"],
      [6, "value is out of bounds"],
      [7, "tags is longer than 4096 bytes"],
    ]);
  });

  test("stores a batch that is sent again once", async () => {
    const appId = await makeApplication(database);
    const samples = [
      { timestamp: now, metric_name: "depth", value: 1 },
      { timestamp: now, metric_name: "depth", value: 2, metric_id: crypto.randomUUID() },
    ];
    expect(await recordMetrics(appId, samples)).toEqual([]);
    expect(await recordMetrics(appId, samples)).toEqual([]);
    expect(await storedValues(appId)).toEqual([1, 2]);
  });

  test("keeps apart what two reporters send alike, and stores a retry of each once", async () => {
    const appId = await makeApplication(database);
    const samples = gateway.json([{ timestamp: now, metric_name: "depth", value: 1 }]);
    for (const reporter of ["gateway-1", "gateway-2", "gateway-1", "gateway-2"]) {
      await gateway`select rate_limiter.record_metrics(${appId}, ${samples}, ${reporter})`;
    }
    expect(await storedValues(appId)).toEqual([1, 1]);
  });

  test("takes a session's application_name for its reporter where it names none", async () => {
    const appId = await makeApplication(database);
    const samples = [{ timestamp: now, metric_name: "depth", value: 1 }];
    for (const name of ["gateway-1", "gateway-2", "gateway-1"]) {
      const { sql } = await database.session(name, "rate_limiter_app");
      await sql`select rate_limiter.record_metrics(${appId}, ${sql.json(samples)})`;
    }
    expect(await storedValues(appId)).toEqual([1, 1]);
  });

  test("stores a sample with an id once, whichever reporter sends it", async () => {
    const appId = await makeApplication(database);
    const samples = gateway.json([
      { timestamp: now, metric_name: "depth", value: 1, metric_id: crypto.randomUUID() },
    ]);
    for (const reporter of ["gateway-1", "gateway-2"]) {
      await gateway`select rate_limiter.record_metrics(${appId}, ${samples}, ${reporter})`;
    }
    expect(await storedValues(appId)).toEqual([1]);
  });

  test("refuses a reporter that is blank or too long", async () => {
    const appId = await makeApplication(database);
    const samples = gateway.json([{ timestamp: now, metric_name: "depth", value: 1 }]);
    for (const reporter of ["", " ", "x".repeat(256)]) {
      await expectSqlState(
        gateway`select rate_limiter.record_metrics(${appId}, ${samples}, ${reporter})`,
        "QS422",
        "reporter is not of 1 to 255 characters",
      );
    }
  });

  test("takes a thousand samples and no more, and none for an unknown application", async () => {
    const appId = await makeApplication(database);
    const samples = (count: number) =>
      Array.from({ length: count }, (_, value) => ({ timestamp: now, metric_name: "m", value }));
    expect(await recordMetrics(appId, samples(1000))).toEqual([]);
    expect((await storedValues(appId)).length).toBe(1000);
    const refused = "batch is not of 1 to 1000 samples";
    await expectSqlState(recordMetrics(appId, samples(1001)), "QS422", refused);
    await expectSqlState(recordMetrics(appId, []), "QS422", refused);
    const nobody = crypto.randomUUID();
    await expectSqlState(recordMetrics(nobody, samples(1)), "QS404", "unknown application");
  });
});

describe("metrics of gateways", () => {
  test("record_iops_metrics stores the good and answers the bad", async () => {
    const appId = await makeApplication(database);
    const good = { timestamp: now, read_ops: 3, write_ops: 4, avg_latency_ms: 1.25 };
    const rows = await gateway`
      select * from rate_limiter.record_iops_metrics(${appId}, ${gateway.json([
        good,
        { ...good, read_ops: -1 },
        { ...good, write_ops: 1.5 },
        { ...good, error_count: "1" },
        { ...good, p99_latency_ms: 1e9 },
      ])})
    `;
    expect(rows.map((row) => [row.position, row.problem])).toEqual([
      [2, "read_ops is out of bounds"],
      [3, "write_ops is not whole"],
      [4, "error_count is not a number"],
      [5, "p99_latency_ms is out of bounds"],
    ]);
    const stored = await database.sql`
      select total_ops, avg_latency_ms, error_count
      from rate_limiter.iops_metrics where app_id = ${appId}
    `;
    expect([...stored]).toEqual([{ total_ops: "7", avg_latency_ms: "1.25", error_count: 0 }]);
  });

  test("record_bandwidth_metrics stores the good and answers the bad", async () => {
    const appId = await makeApplication(database);
    const good = { timestamp: now, bytes_read: 5, bytes_written: 4_000_000_000 };
    const rows = await gateway`
      select * from rate_limiter.record_bandwidth_metrics(${appId}, ${gateway.json([
        good,
        { ...good, bytes_read: 5e18 },
        { ...good, connection_count: -1 },
      ])})
    `;
    expect(rows.map((row) => [row.position, row.problem])).toEqual([
      [2, "bytes_read is out of bounds"],
      [3, "connection_count is out of bounds"],
    ]);
    const stored = await database.sql`
      select total_bytes from rate_limiter.bandwidth_metrics where app_id = ${appId}
    `;
    expect([...stored]).toEqual([{ total_bytes: "4000000005" }]);
  });

  test("of two gateways are kept apart where the figures are the same", async () => {
    const appId = await makeApplication(database);
    for (const table of ["iops_metrics", "bandwidth_metrics"] as const) {
      for (const reporter of ["gateway-1", "gateway-2", "gateway-1"]) {
        await gateway`
          select from rate_limiter.${gateway(`record_${table}`)}(
            ${appId}, ${gateway.json([{ timestamp: now }])}, ${reporter}
          )
        `;
      }
      const stored = await database.sql`
        select from rate_limiter.${database.sql(table)} where app_id = ${appId}
      `;
      expect(stored.count).toBe(2);
    }
  });

  test("at their bounds add up in every report", async () => {
    const appId = await makeApplication(database);
    const most = {
      timestamp: now,
      read_ops: 2147483647,
      write_ops: 2147483647,
      error_count: 2147483647,
      avg_latency_ms: 99999999,
    };
    const mostBytes = "4611686018427387903";
    for (const reporter of ["gateway-1", "gateway-2", "gateway-3"]) {
      const operations = gateway.json([most]);
      const bytes = `[{"timestamp": "${now}", "bytes_read": ${mostBytes},
        "bytes_written": ${mostBytes}, "peak_throughput_mbps": 9999999999}]`;
      const rejected = await gateway`
        select * from rate_limiter.record_iops_metrics(${appId}, ${operations}, ${reporter})
        union all
        select * from rate_limiter.record_bandwidth_metrics(
          ${appId}, ${bytes}::text::jsonb, ${reporter}
        )
      `;
      expect([...rejected]).toEqual([]);
    }
    const [summary] = await database.sql`
      select avg_iops, avg_bandwidth_bytes, bandwidth_sample_count::integer as samples
      from rate_limiter.v_metrics_summary_24h where app_id = ${appId}
    `;
    expect(summary?.samples).toBe(3);
    expect(Number(summary?.avg_iops)).toBe(2 * 2147483647);
    expect(BigInt(String(summary?.avg_bandwidth_bytes).split(".")[0] ?? "")).toBe(
      2n * 4611686018427387903n,
    );
  });

  test("are stored once when they are sent again, with an id or without", async () => {
    const appId = await makeApplication(database);
    for (const table of ["iops_metrics", "bandwidth_metrics"] as const) {
      const measured = table === "iops_metrics" ? { read_ops: 3 } : { bytes_read: 3 };
      const batch = gateway.json([
        { timestamp: now, ...measured },
        { timestamp: now, ...measured, metric_id: crypto.randomUUID() },
      ]);
      for (let time = 0; time < 2; time++) {
        const rejected = await gateway`
          select * from rate_limiter.${gateway(`record_${table}`)}(${appId}, ${batch})
        `;
        expect([...rejected]).toEqual([]);
      }
      const stored = await database.sql`
        select from rate_limiter.${database.sql(table)} where app_id = ${appId}
      `;
      expect(stored.count).toBe(2);
    }
  });
});

test.each([
  ["record_metrics", { metric_name: "depth", value: 1 }],
  ["record_iops_metrics", { read_ops: 1 }],
  ["record_bandwidth_metrics", { bytes_read: 1 }],
])(
  "%s: gateways that hand in the same samples in another order wait for each other",
  async (name, content) => {
    const appId = await makeApplication(database);
    const samples = Array.from({ length: 3 }, (_, place) => ({
      ...content,
      timestamp: new Date(Date.now() - place * 1000).toISOString(),
      metric_id: crypto.randomUUID(),
    }));
    const record = (sql: Sql, given: Samples) => sql`
    select * from rate_limiter.${sql(name)}(${appId}, ${sql.json(given as never)})
  `;
    // The session that has stored its first sample waits for the one in the middle.
    const holder = await database.session("holding", "rate_limiter_app");
    const [first, second] = [
      await database.session("first", "rate_limiter_app"),
      await database.session("second", "rate_limiter_app"),
    ];
    await holder.sql`begin`;
    await record(holder.sql, samples.slice(1, 2));
    const inOrder = first.start((sql) => record(sql, samples));
    await first.waitsOnLock();
    const backwards = second.start((sql) => record(sql, samples.toReversed()));
    await second.waitsOnLock();
    await holder.sql`commit`;
    expect(await Promise.all([inOrder, backwards])).toEqual([[], []]);
    const [row] = await database.sql`
    select (
      (select count(*) from rate_limiter.metrics where app_id = ${appId})
      + (select count(*) from rate_limiter.iops_metrics where app_id = ${appId})
      + (select count(*) from rate_limiter.bandwidth_metrics where app_id = ${appId})
    )::integer as stored
  `;
    expect(row?.stored).toBe(3);
  },
);
