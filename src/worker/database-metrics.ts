import { setTimeout as sleep } from "node:timers/promises";
import type { Pool } from "pg";
import { Gauge, type Registry } from "prom-client";
import { logFor } from "../log.ts";

const log = logFor("worker");

/** Less than Prometheus waits for a scrape, which else would say nothing at all. */
const timeoutMs = 5_000;

interface Sample {
  readonly name: string;
  readonly label: string | null;
  readonly value: number;
}

/** The metrics of metrics_snapshot(), by name; `label` is the name of its label. */
const gauges: Readonly<Record<string, { readonly help: string; readonly label?: string }>> = {
  database_writable: { help: "Whether the database took writes at this scrape." },
  jobs_ready: { help: "Jobs that are due and not running." },
  jobs_running: { help: "Jobs that a worker is running." },
  jobs_given_up: { help: "Jobs that failed for the last time and need attention." },
  job_parts_failed: { help: "Applications and partitions that jobs left out in the last day." },
  oldest_job_seconds: { help: "How long the oldest due job has been waiting." },
  operations_admitted: { help: "Operations that were admitted in the last full minute." },
  operations_denied: { help: "Operations denied in the last full minute.", label: "reason" },
  lease_waste_ratio: { help: "Share of the last hour's leased tokens that lapsed unsettled." },
  bucket_fill_lowest_ratio: {
    help: "How full the emptiest bucket is; below 0 in debt.",
    label: "kind",
  },
  buckets_low: { help: "Buckets that are less than a fifth full.", label: "kind" },
  bucket_rows: {
    help: "Rows of buckets, and versions of them that an open transaction keeps.",
    label: "state",
  },
  notification_queue_ratio: {
    help: "How full the server's queue of notifications is: at 1 changes fail.",
  },
  buckets_in_debt: { help: "Buckets that hold less than nothing.", label: "kind" },
  uncharged_operations: {
    help: "Late charges of the last ten minutes that found buckets at their debt limit.",
    label: "reason",
  },
  dead_notifications: { help: "Notices of alerts that could not be sent." },
  ledger_gaps: { help: "Gaps that the last check of the ledger found." },
  ledger_check_age_seconds: { help: "Time since the ledger was last checked." },
  cluster_health: {
    help: "1 where the cluster is healthy, 0.5 where degraded, 0 where unhealthy.",
    label: "cluster",
  },
  clusters_by_health: {
    help: "Clusters that have a health_check_url, by their health.",
    label: "status",
  },
  cluster_health_age_seconds: {
    help: "Time since the cluster that waits longest was last asked for its health.",
  },
  processes: {
    help: "Gateways, clients, workers and APIs that have reported within 90 seconds.",
    label: "kind",
  },
  login_settings: {
    help: "Settings of a login that it can give itself and that the guide does not give it.",
    label: "login",
  },
};

/**
 * Answers a function that updates them: one statement for each scrape. While the database is
 * unreachable the scrape says so, and leaves out values that may be outdated.
 */
export function addDatabaseMetrics(register: Registry, pool: Pool): () => Promise<void> {
  const registers = [register];
  const prefix = "storage_qos_";
  const made = new Map(
    Object.entries(gauges).map(([name, { help, label }]) => [
      name,
      new Gauge({ name: prefix + name, help, labelNames: label ? [label] : [], registers }),
    ]),
  );
  const isUp = new Gauge({
    name: `${prefix}database_up`,
    help: "Whether the database answered this scrape, be it to reads alone.",
    registers,
  });
  return async () => {
    const samples = await snapshot(pool);
    isUp.set(samples === undefined ? 0 : 1);
    for (const [name, gauge] of made) clear(gauge, gauges[name]?.label);
    for (const { name, label, value } of samples ?? []) {
      made.get(name)?.set(labelsOf(name, label), value);
    }
  };
}

/** A gauge without labels would be 0 after a reset, although its value is unknown. */
function clear(gauge: Gauge, label: string | undefined): void {
  if (label === undefined) gauge.remove();
  else gauge.reset();
}

function labelsOf(name: string, value: string | null): Record<string, string> {
  const label = gauges[name]?.label;
  return label === undefined || value === null ? {} : { [label]: value };
}

async function snapshot(pool: Pool): Promise<readonly Sample[] | undefined> {
  try {
    const answer = await Promise.race([
      pool.query<Sample>("select * from rate_limiter_private.metrics_snapshot()"),
      sleep(timeoutMs, undefined, { ref: false }),
    ]);
    if (answer === undefined) throw new Error(`no answer in ${timeoutMs} ms`);
    return answer.rows;
  } catch (err) {
    log.warn({ err }, "the database did not answer a scrape");
    return undefined;
  }
}
