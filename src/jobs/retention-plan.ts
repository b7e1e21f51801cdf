import type { Sql } from "../postgres/connect.ts";
import type { RetentionStep } from "../worker/retention/step.ts";

interface PlannedStep extends RetentionStep {
  readonly row_count: string;
}

/** What retention would remove now; a dry run. */
export async function retentionPlan(sql: Sql): Promise<readonly PlannedStep[]> {
  return sql<PlannedStep[]>`select * from rate_limiter_private.retention_plan()`;
}
