import type { TransactionSql } from "../../postgres/connect.ts";
import type { StandingObject } from "../management.ts";

export async function readConfiguration(sql: TransactionSql): Promise<readonly StandingObject[]> {
  return sql`
    select kind, path, spec, managed_by
    from rate_limiter_admin.configuration()
  `;
}
