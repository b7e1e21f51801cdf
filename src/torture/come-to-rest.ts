import { setTimeout as sleep } from "node:timers/promises";
import type { Sql } from "../postgres/connect.ts";

interface Left {
  readonly leases: number;
  readonly loans: number;
  readonly sessions: number;
}

/**
 * Leases expire, loans are collected and stuck jobs released, as the jobs do it in time. Answers what
 * did not come to rest; undefined where all did.
 */
export async function comeToRest(sql: Sql, restMs: number): Promise<string | undefined> {
  const until = Date.now() + restMs;
  for (;;) {
    const problem = await settle(sql).catch((error: Error) => error.message);
    const left = await countLeft(sql);
    if (problem === undefined && Object.values(left).every((count) => count === 0)) return;
    if (Date.now() > until) return describe(left, problem, restMs);
    await sleep(250);
  }
}

async function settle(sql: Sql): Promise<undefined> {
  await sql`select rate_limiter_private.rescue_stuck_jobs(interval '0')`;
  await sql`select rate_limiter_private.expire_leases(clock_timestamp())`;
  await sql`select rate_limiter_private.collect_borrowings(null)`;
}

async function countLeft(sql: Sql): Promise<Left> {
  const [left] = await sql<Left[]>`
    select
      (select count(*) from rate_limiter.token_leases
        where settled_at is null)::integer as leases,
      (select count(*) from rate_limiter.token_borrowing
        where status = 'active')::integer as loans,
      (select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
          and backend_type = 'client backend')::integer as sessions
  `;
  return left ?? { leases: 0, loans: 0, sessions: 0 };
}

function describe({ leases, loans, sessions }: Left, problem: string | undefined, restMs: number) {
  const rest = `${leases} leases, ${loans} loans and ${sessions} sessions`;
  const because = problem === undefined ? "" : `: ${problem}`;
  return `${rest} did not come to rest in ${Math.round(restMs / 1_000)} s${because}`;
}
