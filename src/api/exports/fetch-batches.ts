import type { TransactionSql } from "../../postgres/connect.ts";
import { batchSize, type Row } from "./row.ts";

export const exportCursor = "exported_rows";

/**
 * The rows of the cursor that the transaction has declared. One of the library's own would be closed
 * by a write to a connection that may be gone, and that ends the process.
 */
export async function* fetchBatches(sql: TransactionSql): AsyncGenerator<readonly Row[]> {
  for (;;) {
    const rows = await sql.unsafe<Row[]>(`fetch forward ${batchSize} from ${exportCursor}`);
    if (rows.length === 0) return;
    yield rows;
  }
}
