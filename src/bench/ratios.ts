import { redisBucket } from "./peers/redis.ts";
import { rlfMemory } from "./peers/rlf-memory.ts";
import { rlfPostgres } from "./peers/rlf-postgres.ts";
import type { Ratio, Sample, Workload } from "./types.ts";
import { apiUnderAttack } from "./workloads/api-under-attack.ts";
import { consumeFromNode } from "./workloads/consume-from-node.ts";
import { deniedWal } from "./workloads/denied-wal.ts";
import { drift } from "./workloads/drift.ts";
import { gatewayLease, limitReq } from "./workloads/gateway.ts";
import { growth } from "./workloads/growth.ts";
import { hotUpdates } from "./workloads/hot-updates.ts";
import { copy, ingestion } from "./workloads/ingestion.ts";
import { leaseCalls } from "./workloads/lease-calls.ts";
import { leaseChecks } from "./workloads/lease-checks.ts";
import { ledgerLarge, ledgerMillion, ledgerTenMillion } from "./workloads/ledger-growth.ts";
import { offeredFromNode } from "./workloads/offered-from-node.ts";
import { freshPartitions, yearOfPartitions } from "./workloads/partitions.ts";
import { pooledClients, sharedPool } from "./workloads/pooled.ts";
import { replayed } from "./workloads/replayed.ts";
import * as sql from "./workloads/sql-workloads.ts";

/** Limits of the machine, measured beside the ratios. */
export const floors: readonly Workload[] = [
  sql.select1,
  sql.updateRow,
  sql.updateHotRow,
  sql.floorPlain,
  sql.floorFull,
  sql.floorHot,
];

/** Measured where there is time for it: commits that wait for the disk, and what has no goal. */
export const others: readonly Workload[] = [
  sql.updateRowDurable,
  sql.updateHotRowDurable,
  sql.floorPlainDurable,
  sql.hotFull,
  sql.mostlyDenied,
  sql.publishedBucket,
  sql.fullOffered,
  sql.select1Offered,
  replayed,
  ledgerMillion,
  ledgerTenMillion,
  ledgerLarge,
  apiUnderAttack,
];

export const ratios: readonly Ratio[] = [
  over("consume_vs_floor", 0.5, sql.full, sql.floorFull),
  over("one_bucket_vs_floor", 0.6, sql.plain, sql.floorPlain),
  over("consume_vs_naive", 4, sql.full, sql.naive),
  over("hot_app_vs_hot_row", 0.6, sql.hotPlain, sql.floorHot),
  over("l1_shared_vs_none", 0.9, sql.full, sql.alone),
  over("denied_vs_allowed", 2, sql.denied, sql.full),
  { ...plain("denied_wal_bytes", 0, deniedWal), atMost: true },
  over("batch100_vs_single", 4, sql.batch, sql.full),
  over("sql_vs_rlf_postgres", 1.2, consumeFromNode, rlfPostgres),
  { ...plain("p50_vs_select1", 3, offeredFromNode), atMost: true },
  over("lease_vs_rlf_memory", 10, leaseChecks, rlfMemory),
  over("lease_vs_redis", 300, leaseChecks, redisBucket),
  { ...plain("lease_db_calls_per_s", 50, leaseCalls), atMost: true },
  over("gateway_lease_vs_limit_req", 0.9, gatewayLease, limitReq),
  over("ingest_vs_copy", 0.5, ingestion, copy),
  plain("hot_update_share", 0.99, hotUpdates),
  plain("apps_1m_vs_1k", 0.8, growth),
  plain("drift", 0.95, drift),
];

/** Reported without a goal. */
export const comparisons: readonly Ratio[] = [
  over("year_of_partitions_vs_fresh", undefined, yearOfPartitions, freshPartitions),
  over("pooled_clients_vs_shared_pool", undefined, pooledClients, sharedPool),
];

/** The figure of one workload over that of another, both of the same round. */
function over(name: string, goal: number | undefined, above: Workload, below: Workload): Ratio {
  return {
    ...{ name, needs: [above, below], ...(goal === undefined ? {} : { goal }) },
    says: `${above.says}, over ${below.says}`,
    value: ([first, second]) => quotient(first?.figure, second?.figure),
  };
}

function plain(name: string, goal: number, workload: Workload): Ratio {
  return {
    ...{ name, goal, needs: [workload], says: `${workload.says} (${workload.unit})` },
    value: ([sample]: readonly Sample[]) => sample?.figure ?? Number.NaN,
  };
}

function quotient(above: number | undefined, below: number | undefined): number {
  return (above ?? Number.NaN) / (below ?? Number.NaN);
}
