import type { TransactionSql } from "../../postgres/connect.ts";
import { auditBatches } from "./audit-batches.ts";
import type { ExportRequest } from "./export-request.ts";
import { metricsBatches } from "./metrics-batches.ts";
import type { Row } from "./row.ts";

/** The columns of each export, in their order. */
export const columns: Readonly<Record<ExportRequest["resource"], readonly string[]>> = {
  metrics: ["appId", "appName", "timestamp", "metricName", "value", "unit", "tags"],
  audit: [
    ...["createdAt", "logId", "tenantId", "appId", "userId", "action", "entityType", "entityId"],
    ...["status", "errorMessage", "ipAddress", "userAgent", "requestId", "oldValues", "newValues"],
  ],
};

export function batches(
  sql: TransactionSql,
  request: ExportRequest,
  maxRows: number,
): AsyncIterable<readonly Row[]> {
  const read = request.resource === "metrics" ? metricsBatches : auditBatches;
  return read(sql, request, maxRows);
}
