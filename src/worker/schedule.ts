import { type CronItem, parseCronItems } from "graphile-worker";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

interface ScheduledTask {
  readonly task: string;
  /** Minute, hour, day of month, month, day of week; UTC. */
  readonly at: string;
  /** How far back a run that nobody was there for is made up: where the next one will not do. */
  readonly backfill?: number;
  readonly payload?: Readonly<Record<string, unknown>>;
}

/**
 * When each task runs. Whatever works off what is due by now needs no backfill: the next run does
 * the missed one's work too. Of two runs at once each leaves to the other what it has at hand.
 */
export const schedule: readonly ScheduledTask[] = [
  { task: "collect_borrowings", at: "* * * * *" },
  { task: "expire_leases", at: "* * * * *" },
  { task: "release_lost_jobs", at: "* * * * *" },
  { task: "record_system_metrics", at: "* * * * *" },
  { task: "evaluate_alerts", at: "* * * * *" },
  { task: "bury_lost_notifications", at: "*/10 * * * *" },
  { task: "aggregate_metrics", at: "*/5 * * * *", payload: { grain: "hour" } },
  { task: "aggregate_metrics", at: "7 * * * *", payload: { grain: "day" } },
  { task: "refresh_daily_quota_usage", at: "10 * * * *", backfill: hour },
  { task: "make_partitions", at: "20 * * * *", backfill: day },
  { task: "move_stragglers", at: "40 * * * *" },
  { task: "expire_sessions", at: "50 * * * *" },
  { task: "apply_retention", at: "30 2 * * *", backfill: day },
  { task: "verify_ledger", at: "0 3 * * *", backfill: day },
];

/** A run that fails is tried again soon; the next one by the clock follows anyway. */
const attempts = 5;

/** Before what is queued otherwise: notices to receivers that are slow must not hold it up. */
const priority = -1;

export function cronItems() {
  return parseCronItems(
    schedule.map(({ task, at, backfill = 0, payload }): CronItem => {
      const identifier = [task, ...Object.values(payload ?? {})].join("_");
      const options = { backfillPeriod: backfill, maxAttempts: attempts, priority };
      return { task, match: at, identifier, options, ...(payload && { payload: { ...payload } }) };
    }),
  );
}
