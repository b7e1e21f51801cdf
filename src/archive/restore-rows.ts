import type { TransactionSql } from "../postgres/connect.ts";
import type { CsvRecord } from "./parse-csv.ts";

export async function restoreRows(
  sql: TransactionSql,
  relation: string,
  columns: readonly string[],
  records: readonly CsvRecord[],
): Promise<number> {
  const [answer] = await sql<{ restored: number }[]>`
    select rate_limiter_private.restore_rows(
      ${relation}, ${[...columns]}, ${sql.json(records as never)}
    ) as restored
  `;
  return answer?.restored ?? 0;
}
