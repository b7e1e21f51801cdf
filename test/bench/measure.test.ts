import { expect, test, vi } from "vitest";
import { measure, planOf } from "../../src/bench/bench-command.ts";
import { pgbenchDriver } from "../../src/bench/driver/pgbench-driver.ts";
import { postgresDriver } from "../../src/bench/driver/postgres-driver.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const tiny = {
  ...{ applications: 3, rounds: 1, seconds: 0.2, sustainedSeconds: 1, ledgerRows: 100 },
  quick: true,
};

test("a tiny run on a server of one's own: numbers for what was asked, reasons for the rest", async () => {
  vi.stubEnv("DATABASE_URL", database.url);
  const only = ["consume_vs_naive", "denied_wal_bytes", "ingest_vs_copy", "apps_1m_vs_1k"];
  only.push("p50_vs_select1", "year_of_partitions_vs_fresh", "ledger-1m", "replay");
  const { machine, ratios, floors, detail } = await measure(tiny, only, postgresDriver);

  expect(machine.loadGenerator).toBe("postgres");
  expect(ratios.consume_vs_naive).toBeGreaterThan(0);
  expect(ratios.denied_wal_bytes).toBe(0);
  expect(ratios.ingest_vs_copy).toBeGreaterThan(0);
  expect(ratios.p50_vs_select1).toBeGreaterThan(0);
  expect(ratios.year_of_partitions_vs_fresh).toBeNull();
  expect(ratios.drift).toBeNull();
  expect(floors["floor-full"]).toBeNull();
  const reasons = Object.fromEntries(detail.ratios.map(({ name, missing }) => [name, missing]));
  expect(reasons.drift).toBe("left out by --only");
  expect(reasons.apps_1m_vs_1k).toBe("growth is not measured with --quick");
  expect(reasons.year_of_partitions_vs_fresh).toMatch(/not measured with --quick$/);
  const ledger = detail.workloads.find(({ name }) => name === "ledger-1m");
  expect(ledger?.missing).toBe("ledgers are not grown with --quick");
  const replay = detail.workloads.find(({ name }) => name === "replay");
  expect(replay?.median).toBeGreaterThan(0);
  const { admitted = 0, throttled = 0 } = replay?.notes ?? {};
  expect(admitted + throttled).toBe(5000);
  expect(Math.min(admitted, throttled)).toBeGreaterThan(0);
  const full = detail.workloads.find(({ name }) => name === "full");
  expect(full?.latencyMs?.p99).toBeGreaterThanOrEqual(full?.latencyMs?.p50 ?? Number.NaN);
});

test("its database is gone afterwards", async () => {
  const left = await database.sql`
    select datname from pg_database where datname like 'storage_qos_bench_%'
  `;
  expect(left).toHaveLength(0);
});

test("a name that is not a ratio is refused", async () => {
  await expect(measure(tiny, ["consume_vs_hope"], pgbenchDriver)).rejects.toThrow(
    "unknown ratio: consume_vs_hope",
  );
});

test("sizes that are none", () => {
  expect(planOf({ ledgerRows: "20000000" }).ledgerRows).toBe(20_000_000);
  expect(() => planOf({ ledgerRows: "1.5" })).toThrow("--ledger-rows is not a count: 1.5");
  expect(planOf({ rounds: "3" }).rounds).toBe(3);
  expect(() => planOf({ rounds: "0" })).toThrow("--rounds is not a count: 0");
  expect(() => planOf({ minutes: "-1" })).toThrow("--minutes is not a positive number: -1");
});
