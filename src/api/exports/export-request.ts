import { ApiError } from "../api-error.ts";

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
  };
}

function required(parameters: URLSearchParams, name: string): string {
  const value = parameters.get(name) ?? "";
  // A plus sign of an offset arrives as a space unless it was escaped.
  const restored = value.replace(/ (?=\d\d:\d\d$)/, "+");
  if (moment.test(restored) && !Number.isNaN(Date.parse(restored))) return restored;
  const hint = `Give ${name} as in ${name}=2026-01-31T00:00:00Z.`;
  throw new ApiError("QS400", "export has no span of time", hint);
}

function optionalId(parameters: URLSearchParams): string | null {
  const value = parameters.get("appId");
  if (value === null || uuid.test(value)) return value;
  throw new ApiError("QS400", "invalid appId", "Give the id of an application, or none.");
}
