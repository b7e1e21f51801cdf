import type { Facts } from "./facts.ts";
import { type Check, critical, info, ok, warning } from "./finding.ts";
import { readableBytes } from "./readable-bytes.ts";

const oldestServer = 150_000;
const clockMs = { wrong: 1_000, dangerous: 10_000 };
const snapshotSeconds = { old: 300, dangerous: 3_600 };
const lagSeconds = 30;
const ledgerCheckHours = 26;
/** Below this many updates the share says nothing. */
const meaningfulUpdates = 10_000;
const goodHotShare = 0.9;
const fullConnections = 0.8;

/** In the order in which they are told. */
export const checks: readonly Check[] = [
  { name: "server", judge: server },
  { name: "schema", judge: schema },
  { name: "extensions", judge: extensions },
  { name: "roles", judge: roles },
  { name: "writes", judge: writes },
  { name: "durability", judge: durability },
  { name: "autovacuum", judge: autovacuum },
  { name: "random_page_cost", judge: randomPageCost },
  { name: "huge_pages", judge: hugePages },
  { name: "connections", judge: connections },
  { name: "pooler", judge: pooler },
  { name: "clock", judge: clock },
  { name: "replicas", judge: replicas },
  { name: "partitions", judge: partitions },
  { name: "default partitions", judge: defaultPartitions },
  { name: "snapshots", judge: snapshots },
  { name: "HOT updates", judge: hotUpdates },
  { name: "workers", judge: workers },
  { name: "jobs", judge: jobs },
  { name: "ledger", judge: ledger },
  { name: "size", judge: size },
];

function server({ serverVersion, serverVersionText }: Facts) {
  const found = `PostgreSQL ${serverVersionText}`;
  return serverVersion >= oldestServer ? ok(found) : critical(found, "Use PostgreSQL 15 or newer.");
}

function schema({ missingMigrations, unknownMigrations }: Facts) {
  if (unknownMigrations > 0) {
    return critical(
      `${unknownMigrations} migrations that this version does not have`,
      "Run the version that made the database, or a later one.",
    );
  }
  if (missingMigrations === 0) return ok("all migrations are there");
  return critical(`${missingMigrations} migrations are missing`, "Run storage-qos migrate.");
}

function extensions({ extensions: installed }: Facts) {
  if (installed.includes("pg_stat_statements")) return ok(installed.join(", "));
  return info(
    "pg_stat_statements is missing",
    "Install it to see slow queries (v_slow_queries): docs/operate.md.",
  );
}

function roles({ missingRoles }: Facts) {
  if (missingRoles.length === 0) return ok("all seven are there");
  return critical(`missing: ${missingRoles.join(", ")}`, "Run storage-qos migrate.");
}

function writes({ isReadOnly, isStandby }: Facts) {
  if (!isReadOnly) return ok("the database takes them");
  // The check of replicas says so.
  if (isStandby) return ok("a standby takes none");
  return critical(
    "transactions are read-only: nothing is decided, and no job runs",
    "Find who set default_transaction_read_only, and why: select * from pg_db_role_setting, show all.",
  );
}

function durability({ settings }: Facts) {
  const off = ["fsync", "full_page_writes"].filter((name) => settings[name] === "off");
  if (off.length === 0) return ok("fsync and full_page_writes are on");
  return critical(`off: ${off.join(", ")}`, "Switch them on: a power cut can lose the database.");
}

function autovacuum({ settings }: Facts) {
  const off = ["autovacuum", "track_counts"].filter((name) => settings[name] === "off");
  if (off.length === 0) return ok("on");
  return critical(`off: ${off.join(", ")}`, "Switch them on: buckets grow without end.");
}

function randomPageCost({ settings }: Facts) {
  const cost = Number(settings.random_page_cost);
  if (cost <= 2) return ok(String(cost));
  return warning(
    String(cost),
    "Set random_page_cost = 1.1, unless the disks seek: docs/scale.md, a larger server.",
  );
}

function hugePages({ settings }: Facts) {
  const status = settings.huge_pages_status;
  if (status === undefined) return ok("PostgreSQL before 17 does not tell");
  if (status === "on") return ok("on");
  const buffers = Number(settings.shared_buffers) * 8_192;
  const found = `off, with ${readableBytes(String(buffers))} of shared_buffers`;
  const advice = "Reserve huge pages: docs/scale.md, a larger server.";
  return buffers >= 2 ** 31 ? warning(found, advice) : info(found, advice);
}

function connections({ connections: used, settings }: Facts) {
  const most = Number(settings.max_connections);
  const found = `${used} of ${most}`;
  if (used < most * fullConnections) return ok(found);
  return warning(found, "Give each process fewer, or share them: docs/scale.md, connections.");
}

function pooler({ isPooled }: Facts) {
  if (!isPooled) return ok("sessions are this connection's own");
  return warning(
    "a pooler shares sessions between transactions",
    "Connect the API, workers and migrations to the server itself: docs/scale.md, connections.",
  );
}

function clock({ clockSkewMs }: Facts) {
  const off = Math.abs(clockSkewMs);
  if (off < clockMs.wrong) return ok("as this machine's");
  const found = `${(off / 1_000).toFixed(1)} s ${clockSkewMs > 0 ? "ahead of" : "behind"} this machine's`;
  const advice = "Synchronize both by NTP: buckets refill by the server's clock.";
  return off < clockMs.dangerous ? warning(found, advice) : critical(found, advice);
}

function replicas({ replicas: all, isStandby }: Facts) {
  if (isStandby) return info("this is a standby", "Decisions need the primary.");
  const late = all.filter(({ lagSeconds: lag }) => lag > lagSeconds);
  if (late.length === 0) return ok(all.length === 0 ? "none" : `${all.length}, up to date`);
  return warning(
    late.map(({ name, lagSeconds: lag }) => `${name}: ${Math.round(lag)} s behind`).join(", "),
    "Look for load or a long query on it: what it answers is old, and a failover would lose that much.",
  );
}

function partitions({ endingPartitions }: Facts) {
  if (endingPartitions.length === 0) return ok("made a day ahead or more");
  return critical(
    `end within a day: ${endingPartitions.join(", ")}`,
    "Run a worker; jobs run make_partitions makes them at once.",
  );
}

function defaultPartitions({ filledDefaults }: Facts) {
  if (filledDefaults.length === 0) return ok("empty");
  return warning(
    `not empty: ${filledDefaults.join(", ")}`,
    "The job drain_default_partitions moves these rows where they belong: see that a worker runs.",
  );
}

function snapshots(facts: Facts) {
  const { oldestSnapshotSeconds: age, preparedTransactions, slotsHoldingRows } = facts;
  const held = [
    ...(age >= snapshotSeconds.old ? [`a transaction of ${Math.round(age)} s`] : []),
    ...(preparedTransactions > 0 ? [`${preparedTransactions} prepared transactions`] : []),
    ...slotsHoldingRows.map((slot) => `replication slot ${slot}`),
  ];
  const advice = "Find and end it: docs/runbooks.md, StorageQosOldSnapshot.";
  if (held.length > 0) {
    const found = held.join(", ");
    return age >= snapshotSeconds.dangerous ? critical(found, advice) : warning(found, advice);
  }
  if (facts.seesAllSessions) return ok(`the oldest is ${Math.round(age)} s old`);
  return info("only sessions of this login are seen", "Grant pg_read_all_stats to the login.");
}

function hotUpdates({ updates, hotUpdates: hot }: Facts) {
  if (updates < meaningfulUpdates) return ok(`too few updates to tell (${updates})`);
  const found = `${((100 * hot) / updates).toFixed(1)} %`;
  if (hot >= updates * goodHotShare) return ok(found);
  return warning(
    found,
    "Look for an old snapshot, or an index that was added to token_buckets: updates of buckets are to be HOT.",
  );
}

function workers({ workers: running }: Facts) {
  if (running > 0) return ok(`${running} reported within a minute`);
  return critical("none runs", "Run storage-qos worker: docs/runbooks.md, StorageQosNoWorker.");
}

function jobs({ jobsGivenUp }: Facts) {
  if (jobsGivenUp === 0) return ok("none has failed for good");
  return warning(`${jobsGivenUp} have failed for good`, "See storage-qos jobs failed, then retry.");
}

function ledger({ ledgerGaps, ledgerCheckHours: age }: Facts) {
  if (ledgerGaps === null || age === null) {
    return info("not checked yet", "The job verify_ledger does it each day, where a worker runs.");
  }
  if (ledgerGaps > 0) {
    return critical(`${ledgerGaps} gaps`, "See docs/runbooks.md, StorageQosLedgerGap.");
  }
  if (age <= ledgerCheckHours) return ok("proved by the last check");
  return warning(
    `last checked ${Math.round(age)} hours ago`,
    "See docs/runbooks.md, StorageQosLedgerNotChecked.",
  );
}

function size({ databaseBytes, largestTables }: Facts) {
  const tables = largestTables.map(({ name, bytes }) => `${name} ${readableBytes(bytes)}`);
  return ok(`${readableBytes(databaseBytes)}: ${tables.join(", ")}`);
}
