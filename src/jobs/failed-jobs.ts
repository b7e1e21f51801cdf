import type { Sql } from "../postgres/connect.ts";

export interface FailedJob {
  readonly job_id: string;
  readonly task: string;
  readonly attempts: number;
  readonly last_error: string | null;
  readonly failed_at: string;
}

export async function failedJobs(sql: Sql): Promise<readonly FailedJob[]> {
  return sql<FailedJob[]>`select * from rate_limiter_private.failed_jobs()`;
}
