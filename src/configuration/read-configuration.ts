import type { TransactionSql } from "../postgres/connect.ts";
import type { ConfiguredObject } from "./declared-objects.ts";

/** All that stands and the caller may see. */
export async function readConfiguration(
  sql: TransactionSql,
): Promise<readonly (ConfiguredObject & { readonly managed_by: string | null })[]> {
  return sql`
    select kind, path, spec, managed_by
    from rate_limiter_admin.configuration()
  `;
}
