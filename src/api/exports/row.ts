import type { ExportRequest } from "./export-request.ts";

export type Row = Readonly<Record<string, unknown>>;

type Resource = ExportRequest["resource"];

/** The columns of each export, in their order. */
export const columns: Readonly<Record<Resource, readonly string[]>> = {
  metrics: ["appId", "appName", "timestamp", "metricName", "value", "unit", "tags", "metricId"],
  audit: [
    ...["createdAt", "logId", "tenantId", "appId", "userId", "action", "entityType", "entityId"],
    ...["status", "errorMessage", "ipAddress", "userAgent", "requestId", "oldValues", "newValues"],
  ],
};

/** The columns by which rows are sorted, which are different in each row. */
export const keyColumns: Readonly<Record<Resource, readonly string[]>> = {
  metrics: ["appId", "timestamp", "metricId"],
  audit: ["createdAt", "logId"],
};

export function keyOf(resource: Resource, row: Row | undefined): readonly string[] {
  return row === undefined ? [] : keyColumns[resource].map((column) => String(row[column]));
}
