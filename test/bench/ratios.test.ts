import { expect, test } from "vitest";
import { comparisons, floors, others, ratios } from "../../src/bench/ratios.ts";

test("every ratio that was promised is there, with its goal", () => {
  const goals = ratios.map(({ name, goal, atMost }) => `${name} ${atMost ? "<=" : ">="} ${goal}`);
  expect(goals).toEqual([
    "consume_vs_floor >= 0.6",
    "one_bucket_vs_floor >= 0.65",
    "consume_vs_naive >= 4",
    "hot_app_vs_hot_row >= 0.6",
    "l1_shared_vs_none >= 0.9",
    "denied_vs_allowed >= 1.5",
    "denied_wal_bytes <= 0",
    "batch100_vs_single >= 4",
    "sql_vs_rlf_postgres >= 1.2",
    "p50_vs_select1 <= 3",
    "lease_vs_rlf_memory >= 5",
    "lease_vs_redis >= 50",
    "lease_db_calls_per_s <= 50",
    "gateway_lease_vs_limit_req >= 0.9",
    "ingest_vs_copy >= 0.5",
    "hot_update_share >= 0.99",
    "apps_1m_vs_1k >= 0.8",
    "drift >= 0.95",
  ]);
});

test("no two workloads share a name", () => {
  const needed = [...ratios, ...comparisons].flatMap(({ needs }) => needs);
  const workloads = new Set([...needed, ...floors, ...others]);
  expect(new Set([...workloads].map(({ name }) => name)).size).toBe(workloads.size);
});

test("no name means both a ratio and a workload: --only takes either", () => {
  const known = [...ratios, ...comparisons, ...floors, ...others].map(({ name }) => name);
  expect(new Set(known).size).toBe(known.length);
});
