import type { Sql } from "../../postgres/connect.ts";

/** A job, called until it has done all that is due. `$at` is a moment: the traffic's minute is over. */
export interface GrowthJob {
  readonly name: string;
  run(sql: Sql, at: Date): Promise<unknown>;
}

const minutesAtOnce = 10;
const seriesAtOnce = 500;
const borrowingsAtOnce = 10;
const ownersAtOnce = 200;

async function aggregate(sql: Sql, grain: "hour" | "day", at: Date): Promise<void> {
  let done: number;
  do {
    const [row] = await sql<{ done: number }[]>`
      select rate_limiter_private.aggregate_metrics(${grain}, ${seriesAtOnce}, ${at}) as done
    `;
    done = row?.done ?? 0;
  } while (done >= seriesAtOnce);
}

/** As tasks/ call them. */
export const growthJobs: readonly GrowthJob[] = [
  {
    name: "record_system_metrics",
    async run(sql, at) {
      let done: number;
      do {
        const [row] = await sql<{ done: number }[]>`
          select rate_limiter_private.record_system_metrics(${at}, ${minutesAtOnce}) as done
        `;
        done = row?.done ?? 0;
      } while (done >= minutesAtOnce);
    },
  },
  {
    name: "evaluate_alerts",
    run: (sql, at) => sql`select rate_limiter_private.evaluate_alerts(${at})`,
  },
  { name: "aggregate_metrics hour", run: (sql, at) => aggregate(sql, "hour", at) },
  { name: "aggregate_metrics day", run: (sql, at) => aggregate(sql, "day", at) },
  {
    name: "refresh_daily_quota_usage",
    async run(sql) {
      let next: string | null = null;
      do {
        const [slice]: { next: string | null }[] = await sql<{ next: string | null }[]>`
          select u.next_app_id as next
          from rate_limiter_private.refresh_daily_quota_usage(${next}::uuid) as u
        `;
        next = slice?.next ?? null;
      } while (next !== null);
    },
  },
  {
    name: "collect_borrowings",
    async run(sql, at) {
      let done: number;
      do {
        const [row] = await sql<{ done: number }[]>`
          select rate_limiter_private.collect_borrowings(${at}, ${borrowingsAtOnce}) as done
        `;
        done = row?.done ?? 0;
      } while (done >= borrowingsAtOnce);
    },
  },
  {
    name: "verify_ledger",
    async run(sql, at) {
      let isDone: boolean;
      do {
        const [slice] = await sql<{ isDone: boolean }[]>`
          select v.is_done as "isDone"
          from rate_limiter_private.verify_ledger(${at}, ${ownersAtOnce}) as v
        `;
        isDone = slice?.isDone ?? true;
      } while (!isDone);
    },
  },
];
