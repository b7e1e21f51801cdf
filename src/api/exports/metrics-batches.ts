import type { TransactionSql } from "../../postgres/connect.ts";
import type { ExportRequest } from "./export-request.ts";
import { exportCursor, fetchBatches } from "./fetch-batches.ts";
import type { Row } from "./row.ts";

/** Through JSON, moments are written as in ISO 8601. */
export async function* metricsBatches(
  sql: TransactionSql,
  { since, until, appId }: ExportRequest,
  maxRows: number,
): AsyncGenerator<readonly Row[]> {
  await sql`
    declare ${sql(exportCursor)} no scroll cursor for
    select
      m.application_id as "appId", m.application_name as "appName",
      to_jsonb(m.measured_at) #>> '{}' as "timestamp", m.metric_name as "metricName", m.value,
      m.unit, m.tags
    from rate_limiter_admin.export_metrics(
      ${since}::timestamptz, ${until}::timestamptz, ${appId}::uuid, ${maxRows}::bigint
    ) as m
  `;
  yield* fetchBatches(sql);
}
