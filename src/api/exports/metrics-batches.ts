import type { TransactionSql } from "../../postgres/connect.ts";
import type { ExportRequest } from "./export-request.ts";
import { batchSize, type Row } from "./row.ts";

/** Through JSON, moments are written as in ISO 8601. */
export function metricsBatches(
  sql: TransactionSql,
  { since, until, appId }: ExportRequest,
  maxRows: number,
): AsyncIterable<Row[]> {
  return sql<Row[]>`
    select
      m.application_id as "appId", m.application_name as "appName",
      to_jsonb(m.measured_at) #>> '{}' as "timestamp", m.metric_name as "metricName", m.value,
      m.unit, m.tags
    from rate_limiter_admin.export_metrics(
      ${since}::timestamptz, ${until}::timestamptz, ${appId}::uuid, ${maxRows}::bigint
    ) as m
  `.cursor(batchSize);
}
