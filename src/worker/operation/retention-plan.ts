import type { Sql } from "../../postgres/connect.ts";
import type { RetentionStep } from "../retention/step.ts";

/** What retention would have go now: nothing goes by asking. */
export async function retentionPlan(sql: Sql): Promise<readonly RetentionStep[]> {
  return sql<RetentionStep[]>`select * from rate_limiter_private.retention_plan()`;
}
