import { ApiError } from "../api-error.ts";
import { keyColumns } from "./row.ts";

export const formats = {
  csv: "text/csv; charset=utf-8; header=present",
  ndjson: "application/x-ndjson; charset=utf-8",
} as const;

export type Format = keyof typeof formats;

export interface ExportRequest {
  readonly resource: "metrics" | "audit";
  readonly format: Format;
  readonly since: string;
  readonly until: string;
  readonly appId: string | null;
  /** The key of the row after which it goes on; empty from the first one. */
  readonly after: readonly string[];
}

const path = /^\/export\/(metrics|audit)\.(csv|ndjson)$/;
const moment = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)$/;
const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** What `/export/metrics.csv?since=…&until=…&appId=…` asks for; undefined for another path. */
export function exportRequest(url: string): ExportRequest | undefined {
  const { pathname, searchParams } = new URL(url, "http://localhost");
  const [, resource, format] = path.exec(pathname) ?? [];
  if (resource === undefined) return undefined;
  return {
    resource: resource as ExportRequest["resource"],
    format: format as Format,
    since: required(searchParams, "since"),
    until: required(searchParams, "until"),
    appId: optionalId(searchParams),
    after: after(searchParams, resource as ExportRequest["resource"]),
  };
}

const isPartOfKey: Readonly<Record<string, (value: string) => boolean>> = {
  appId: isId,
  metricId: isId,
  logId: isId,
  timestamp: isMoment,
  createdAt: isMoment,
};

function after(parameters: URLSearchParams, resource: ExportRequest["resource"]) {
  const value = parameters.get("after");
  if (value === null) return [];
  const columns = keyColumns[resource];
  const key = value.split(",").map(withPlus);
  const isKey = key.length === columns.length;
  if (isKey && columns.every((name, index) => isPartOfKey[name]?.(key[index] ?? ""))) return key;
  const hint = `Give after as ${columns.join(",")} of the last row that you have, or not at all.`;
  throw new ApiError("QS400", "invalid after", hint);
}

function required(parameters: URLSearchParams, name: string): string {
  const value = parameters.get(name) ?? "";
  const restored = withPlus(value);
  if (isMoment(restored)) return restored;
  const hint = `Give ${name} as in ${name}=2026-01-31T00:00:00Z.`;
  throw new ApiError("QS400", "export has no span of time", hint);
}

function optionalId(parameters: URLSearchParams): string | null {
  const value = parameters.get("appId");
  if (value === null || isId(value)) return value;
  throw new ApiError("QS400", "invalid appId", "Give the id of an application, or none.");
}

/** A plus sign of an offset arrives as a space unless it was escaped. */
function withPlus(value: string): string {
  return value.replace(/ (?=\d\d:\d\d$)/, "+");
}

function isMoment(value: string): boolean {
  return moment.test(value) && !Number.isNaN(Date.parse(value));
}

function isId(value: string): boolean {
  return uuid.test(value);
}
