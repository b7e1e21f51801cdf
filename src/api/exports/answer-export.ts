import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Sql, TransactionSql } from "../../postgres/connect.ts";
import { inContext } from "../in-context.ts";
import type { ApiRequest } from "../request.ts";
import { beginExport } from "./begin-export.ts";
import { type ExportRequest, formats } from "./export-request.ts";
import { writer } from "./format.ts";
import { batches, columns } from "./rows.ts";

export interface ExportLimits {
  readonly maxExportRows: number;
  readonly exportTimeoutMs: number;
  readonly exportStallMs: number;
}

/**
 * Streams the rows as they come from a cursor: the server holds one batch of them, and a slow
 * reader slows the cursor. X-Total-Rows is known before the first row, so that a client can tell
 * how far it is; the trailer X-Exported-Rows says that nothing is missing at the end.
 */
export async function answerExport(
  sql: Sql,
  wanted: ExportRequest,
  request: ApiRequest,
  response: ServerResponse,
  limits: ExportLimits,
): Promise<void> {
  const settings = {
    role: "rate_limiter_visitor",
    timezone: "UTC",
    statement_timeout: String(limits.exportTimeoutMs),
  };
  // Committed separately, so that the audit has it even if the client disconnects.
  const total = await inContext(
    sql,
    request,
    (transaction) => beginExport(transaction, wanted, limits.maxExportRows),
    settings,
  );
  writeHead(response, wanted, total, limits.maxExportRows);
  await inContext(
    sql,
    request,
    (transaction) => stream(transaction, wanted, response, limits),
    settings,
  );
  // Only now, so that the next export of the same reader finds this one's connection free.
  response.end();
}

function writeHead(
  response: ServerResponse,
  { resource, format }: ExportRequest,
  total: number,
  maxRows: number,
): void {
  response.writeHead(200, {
    "Content-Type": formats[format],
    "Content-Disposition": `attachment; filename="${resource}.${format}"`,
    "X-Total-Rows": String(Math.min(total, maxRows)),
    "X-Row-Limit": String(maxRows),
    "X-Truncated": String(total > maxRows),
    Trailer: "X-Exported-Rows",
  });
}

async function stream(
  sql: TransactionSql,
  wanted: ExportRequest,
  response: ServerResponse,
  { maxExportRows, exportTimeoutMs, exportStallMs }: ExportLimits,
): Promise<void> {
  const { header, lines } = writer(wanted.format, columns[wanted.resource]);
  let count = 0;
  async function* text() {
    if (header !== "") yield header;
    for await (const rows of batches(sql, wanted, maxExportRows)) {
      count += rows.length;
      stalled.refresh();
      yield lines(rows);
    }
    response.addTrailers({ "X-Exported-Rows": String(count) });
  }
  // A reader that takes nothing must not hold a transaction and a connection that others wait for.
  const stop = new AbortController();
  const stalled = setTimeout(() => stop.abort(), exportStallMs);
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(exportTimeoutMs)]);
  try {
    await pipeline(Readable.from(text(), { highWaterMark: 1 }), response, { signal, end: false });
  } finally {
    clearTimeout(stalled);
  }
}
