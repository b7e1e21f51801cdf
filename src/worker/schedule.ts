import { type CronItem, parseCronItems } from "graphile-worker";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

interface ScheduledTask {
  readonly task: string;
  /** Minute, hour, day of month, month, day of week; UTC. */
  readonly at: string;
  /** How far back missed runs are backfilled; omit where the next run covers them. */
  readonly backfill?: number;
  readonly payload?: Readonly<Record<string, unknown>>;
}

/**
 * When each task runs. A task that processes all that is due needs no backfill: its next run covers
 * the missed one. Concurrent runs skip the rows that the other one has locked.
 */
export const schedule: readonly ScheduledTask[] = [
  { task: "collect_borrowings", at: "* * * * *" },
  // The setting token_cleanup_interval says how often it works.
  { task: "expire_leases", at: "* * * * *", payload: { by: "clock" } },
  { task: "rescue_stuck_jobs", at: "* * * * *" },
  { task: "probe_clusters", at: "* * * * *" },
  { task: "fold_denials", at: "* * * * *" },
  // It queues evaluate_alerts, which judges what it wrote.
  { task: "record_system_metrics", at: "* * * * *" },
  { task: "dead_letter_stale_notifications", at: "*/10 * * * *" },
  { task: "sync_quota_flags", at: "*/5 * * * *" },
  { task: "aggregate_metrics", at: "*/5 * * * *", payload: { grain: "hour" } },
  { task: "aggregate_metrics", at: "7 * * * *", payload: { grain: "day" } },
  { task: "refresh_daily_quota_usage", at: "*/5 * * * *" },
  { task: "merge_demand", at: "25 * * * *" },
  { task: "make_partitions", at: "20 * * * *", backfill: day },
  { task: "drain_default_partitions", at: "40 * * * *" },
  { task: "expire_sessions", at: "50 * * * *" },
  { task: "apply_retention", at: "30 2 * * *", backfill: day },
  // Of hypertables, where `storage-qos timescale adopt` has made some.
  { task: "compress_next_chunk", at: "30 3 * * *" },
  { task: "verify_ledger", at: "0 3 * * *", backfill: day },
];

/** What runs of a task are late together: each grain of aggregates by itself. */
export interface RepeatedTask {
  readonly task: string;
  readonly grain?: string;
}

/** What is to succeed again and again: by the clock, or queued by what runs by the clock. */
export const repeatedTasks: readonly RepeatedTask[] = [
  ...schedule.map(({ task, payload }) => repeatedTask(task, payload)),
  { task: "evaluate_alerts" },
];

export function repeatedTask(task: string, payload: unknown): RepeatedTask {
  const { grain } = Object(payload) as { readonly grain?: unknown };
  return typeof grain === "string" ? { task, grain } : { task };
}

/** A failed run is retried soon; the next scheduled one follows in any case. */
const attempts = 5;

/** Before what is queued otherwise: notifications to receivers that are slow must not hold it up. */
const usualPriority = -1;

/** After a pause of days: rows find their partitions first, then aggregates are made, then the rest. */
const priorities: Readonly<Record<string, number>> = {
  make_partitions: -4,
  drain_default_partitions: -3,
  aggregate_metrics: -2,
};

export function cronItems() {
  return parseCronItems(
    schedule.map(({ task, at, backfill = 0, payload }): CronItem => {
      const identifier = [task, ...Object.values(payload ?? {})].join("_");
      const priority = priorities[task] ?? usualPriority;
      const options = { backfillPeriod: backfill, maxAttempts: attempts, priority };
      return { task, match: at, identifier, options, ...(payload && { payload: { ...payload } }) };
    }),
  );
}
