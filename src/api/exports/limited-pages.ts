import { auditPages } from "./audit-pages.ts";
import type { ExportRequest } from "./export-request.ts";
import { metricsPages } from "./metrics-pages.ts";
import type { InTransaction } from "./pages.ts";
import { keyOf, type Row } from "./row.ts";

/** What has become of an export: how many rows it had, and where it was cut at its limit. */
export interface Exported {
  count: number;
  /** The key of the last row, where more follow. */
  next?: readonly string[];
}

/** Pages up to the limit; `exported` tells how it went. */
export async function* limitedPages(
  inTransaction: InTransaction,
  wanted: ExportRequest,
  maxRows: number,
  exported: Exported,
): AsyncGenerator<readonly Row[]> {
  const read = wanted.resource === "metrics" ? metricsPages : auditPages;
  let last: Row | undefined;
  for await (const page of read(inTransaction, wanted)) {
    const rows = page.slice(0, maxRows - exported.count);
    exported.count += rows.length;
    last = rows.at(-1) ?? last;
    if (rows.length > 0) yield rows;
    if (rows.length < page.length) {
      exported.next = keyOf(wanted.resource, last);
      return;
    }
  }
}
