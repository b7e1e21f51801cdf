import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Sql } from "../../postgres/connect.ts";
import { inContext } from "../in-context.ts";
import type { ApiRequest } from "../request.ts";
import { beginExport } from "./begin-export.ts";
import { type ExportRequest, formats } from "./export-request.ts";
import { writer } from "./format.ts";
import { type Exported, limitedPages } from "./limited-pages.ts";
import type { InTransaction } from "./pages.ts";
import { columns } from "./row.ts";

export interface ExportLimits {
  readonly maxExportRows: number;
  readonly exportTimeoutMs: number;
  readonly exportStallMs: number;
  readonly statementTimeoutMs: number;
}

/**
 * Streams rows page by page, as the reader takes them. A page is read in a transaction of its own: a
 * reader that is slow holds neither a snapshot nor a connection. Trailers come after the last row.
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
    statement_timeout: String(limits.statementTimeoutMs),
  };
  const inTransaction: InTransaction = (work) => inContext(sql, request, work, settings);
  // By itself, so that the audit has it even if the client disconnects.
  await inTransaction((transaction) => beginExport(transaction, wanted));
  writeHead(response, wanted, limits.maxExportRows);
  await stream(inTransaction, wanted, response, limits);
  // Only now, when this export is over for the one that the reader may ask for next.
  response.end();
}

function writeHead(
  response: ServerResponse,
  { resource, format }: ExportRequest,
  maxRows: number,
): void {
  response.writeHead(200, {
    "Content-Type": formats[format],
    "Content-Disposition": `attachment; filename="${resource}.${format}"`,
    "X-Row-Limit": String(maxRows),
    Trailer: "X-Exported-Rows, X-Truncated, X-Next-After",
  });
  response.flushHeaders();
}

async function stream(
  inTransaction: InTransaction,
  wanted: ExportRequest,
  response: ServerResponse,
  { maxExportRows, exportTimeoutMs, exportStallMs }: ExportLimits,
): Promise<void> {
  const { header, lines } = writer(wanted.format, columns[wanted.resource]);
  const exported: Exported = { count: 0 };
  async function* text() {
    if (header !== "") yield header;
    for await (const rows of limitedPages(inTransaction, wanted, maxExportRows, exported)) {
      stalled.refresh();
      yield lines(rows);
    }
    response.addTrailers(trailers(exported));
  }
  // A reader that takes nothing must not hold a place that others wait for.
  const stop = new AbortController();
  const stalled = setTimeout(() => stop.abort(), exportStallMs);
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(exportTimeoutMs)]);
  try {
    await pipeline(Readable.from(text(), { highWaterMark: 1 }), response, { signal, end: false });
  } finally {
    clearTimeout(stalled);
  }
}

function trailers({ count, next }: Exported): Record<string, string> {
  return {
    "X-Exported-Rows": String(count),
    "X-Truncated": String(next !== undefined),
    ...(next && { "X-Next-After": next.join(",") }),
  };
}
