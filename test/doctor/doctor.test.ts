import { describe, expect, test, vi } from "vitest";
import { withOwnerConnection } from "../../src/cli/with-owner-connection.ts";
import { checks } from "../../src/doctor/checks.ts";
import { diagnose } from "../../src/doctor/diagnose.ts";
import { readFacts } from "../../src/doctor/read-facts.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { runInProcess } from "../cli/in-process.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const { sql } = database;
vi.stubEnv("DATABASE_URL", database.url);

const facts = await readFacts(sql);
/** A system without a fault, whatever the server of the tests is. */
const well = {
  ...facts,
  extensions: ["pg_stat_statements"],
  settings: {
    ...{ fsync: "on", full_page_writes: "on", autovacuum: "on", track_counts: "on" },
    ...{ random_page_cost: "1.1", huge_pages_status: "on", max_connections: "100" },
    shared_buffers: "16384",
  },
  ...{ connections: 5, workers: 1, ledgerGaps: 0, ledgerCheckHours: 1, clockSkewMs: 0 },
  ...{ oldestSnapshotSeconds: 0, seesAllSessions: true, isStandby: false, filledDefaults: [] },
};

describe("what a system without a fault is told", () => {
  test("is that all is well", () => {
    const { severity, findings } = diagnose(well);
    expect(findings.filter(({ severity: how }) => how !== "ok")).toEqual([]);
    expect(severity).toBe("ok");
  });
});

const faults = [
  ["server", "critical", { serverVersion: 140_000 }],
  ["schema", "critical", { missingMigrations: 1 }],
  ["schema", "critical", { unknownMigrations: 1 }],
  ["extensions", "info", { extensions: [] }],
  ["roles", "critical", { missingRoles: ["rate_limiter_app"] }],
  ["writes", "critical", { isReadOnly: true }],
  ["durability", "critical", { settings: { ...well.settings, fsync: "off" } }],
  ["autovacuum", "critical", { settings: { ...well.settings, track_counts: "off" } }],
  ["random_page_cost", "warning", { settings: { ...well.settings, random_page_cost: "4" } }],
  ["huge_pages", "info", { settings: { ...well.settings, huge_pages_status: "off" } }],
  [
    "huge_pages",
    "warning",
    { settings: { ...well.settings, huge_pages_status: "off", shared_buffers: "1048576" } },
  ],
  ["connections", "warning", { connections: 80 }],
  ["pooler", "warning", { isPooled: true }],
  ["clock", "warning", { clockSkewMs: -1_000 }],
  ["clock", "critical", { clockSkewMs: 60_000 }],
  ["replicas", "warning", { replicas: [{ name: "one", lagSeconds: 31 }] }],
  ["replicas", "info", { isStandby: true }],
  ["partitions", "critical", { endingPartitions: ["metrics"] }],
  ["default partitions", "warning", { filledDefaults: ["metrics_default"] }],
  ["snapshots", "warning", { oldestSnapshotSeconds: 300 }],
  ["snapshots", "critical", { oldestSnapshotSeconds: 3_600 }],
  ["snapshots", "warning", { preparedTransactions: 1 }],
  ["snapshots", "warning", { slotsHoldingRows: ["old"] }],
  ["snapshots", "info", { seesAllSessions: false }],
  ["HOT updates", "warning", { updates: 10_000, hotUpdates: 8_999 }],
  ["workers", "critical", { workers: 0 }],
  ["jobs", "warning", { jobsGivenUp: 1 }],
  ["ledger", "critical", { ledgerGaps: 1 }],
  ["ledger", "warning", { ledgerCheckHours: 27 }],
  ["ledger", "info", { ledgerGaps: null }],
] as const;

describe("a fault", () => {
  test.each(faults)("of the %s is told as %s: %j", (check, severity, change) => {
    const diagnosis = diagnose({ ...well, ...change });
    const told = diagnosis.findings.filter(({ severity: how }) => how !== "ok");
    expect(told).toMatchObject([{ check, severity, advice: expect.stringMatching(/\w\.$/) }]);
    expect(diagnosis.severity).toBe(severity);
  });

  test("has a case here for each check but the size", () => {
    const tried = new Set<string>(faults.map(([check]) => check));
    expect(checks.map(({ name }) => name).filter((name) => !tried.has(name))).toEqual(["size"]);
  });
});

describe("the facts of a database", () => {
  test("are read from it", async () => {
    expect(facts).toMatchObject({
      ...{ missingMigrations: 0, unknownMigrations: 0, missingRoles: [], endingPartitions: [] },
      ...{ workers: 0, isPooled: false, preparedTransactions: 0 },
    });
    // Both clocks are this machine's; they are read one after the other.
    expect(Math.abs(facts.clockSkewMs)).toBeLessThan(1_000);
    expect(facts.largestTables).toHaveLength(3);
  });

  test("tell of a worker, of a transaction, and of rows in a default partition", async () => {
    await sql`insert into rate_limiter_private.job_workers (worker_id) values ('one')`;
    const session = await database.session("old");
    await session.sql`begin isolation level repeatable read`;
    await session.sql`select from rate_limiter.tenants`;
    await sql`
      insert into rate_limiter_private.ledger_checks (from_time, checked_at, gap_count)
      values (now(), now() - interval '3 hours', 2)
    `;
    const found = await readFacts(sql);
    await session.sql`rollback`;
    expect(found).toMatchObject({ workers: 1, ledgerGaps: 2 });
    expect(found.ledgerCheckHours).toBeGreaterThanOrEqual(3);
    expect(found.oldestSnapshotSeconds).toBeGreaterThan(0);
  });

  test("are of all sessions, as far as its login sees them, whatever role it has taken", async () => {
    await database.session("other", "rate_limiter_worker");
    const found = await withOwnerConnection(readFacts);
    expect(found.seesAllSessions).toBe(true);
    expect(found.connections).toBeGreaterThan(1);
  });

  test("tell that nothing can be written", async () => {
    const readOnly = { connection: { default_transaction_read_only: true } };
    const found = await withConnection(database.url, readFacts, readOnly);
    expect(found.isReadOnly).toBe(true);
  });

  test("make the exit code", async () => {
    const { code, stdout } = await runInProcess("doctor", "--json");
    const { severity, findings } = JSON.parse(stdout);
    expect({ code, severity }).toEqual({ code: 5, severity: "critical" });
    expect(findings.map(({ check }: { check: string }) => check)).toEqual(
      checks.map(({ name }) => name),
    );
    const text = await runInProcess("doctor");
    expect(text.stdout).toMatch(/^critical +ledger +2 gaps\n +-> See docs\/runbooks\.md/m);
  });
});
