import type { Format } from "./export-request.ts";
import type { Row } from "./row.ts";

export interface Writer {
  readonly header: string;
  lines(rows: readonly Row[]): string;
}

export function writer(format: Format, columns: readonly string[]): Writer {
  return format === "csv" ? csvWriter(columns) : ndjsonWriter;
}

const ndjsonWriter: Writer = {
  header: "",
  lines: (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join(""),
};

/** RFC 4180. */
function csvWriter(columns: readonly string[]): Writer {
  const line = (cells: readonly string[]) => `${cells.join(",")}\r\n`;
  return {
    header: line(columns),
    lines: (rows) => rows.map((row) => line(columns.map((name) => cell(row[name])))).join(""),
  };
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = harmless(typeof value === "string" ? value : JSON.stringify(value));
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A spreadsheet would run these as formulas, and clients choose their user agent. */
function harmless(text: string): string {
  return /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
}
