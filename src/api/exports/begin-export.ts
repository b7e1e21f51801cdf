import type { TransactionSql } from "../../postgres/connect.ts";
import type { ExportRequest } from "./export-request.ts";

/** Checks and notes the export; answers how many rows there are, one too many where limited. */
export async function beginExport(
  sql: TransactionSql,
  { resource, since, until, appId }: ExportRequest,
  maxRows: number,
): Promise<number> {
  const [row] = await sql<{ total: string }[]>`
    select rate_limiter_admin.begin_export(
      ${resource}, ${since}, ${until}, ${appId}, ${maxRows}
    ) as total
  `;
  return Number(row?.total);
}
