import type { TransactionSql } from "../../postgres/connect.ts";
import type { ExportRequest } from "./export-request.ts";

/** Checks the export and notes it in the audit. */
export async function beginExport(
  sql: TransactionSql,
  { resource, since, until, appId }: ExportRequest,
): Promise<void> {
  await sql`select rate_limiter_admin.begin_export(${resource}, ${since}, ${until}, ${appId})`;
}
