import type { TransactionSql } from "../../postgres/connect.ts";
import type { ExportRequest } from "./export-request.ts";
import { exportCursor, fetchBatches } from "./fetch-batches.ts";
import type { Row } from "./row.ts";

export async function* auditBatches(
  sql: TransactionSql,
  { since, until, appId }: ExportRequest,
  maxRows: number,
): AsyncGenerator<readonly Row[]> {
  await sql`
    declare ${sql(exportCursor)} no scroll cursor for
    select
      to_jsonb(l.created_at) #>> '{}' as "createdAt", l.log_id as "logId",
      l.tenant_id as "tenantId", l.app_id as "appId", l.user_id as "userId", l.action,
      l.entity_type as "entityType", l.entity_id as "entityId", l.status,
      l.error_message as "errorMessage", host(l.ip_address) as "ipAddress",
      l.user_agent as "userAgent", l.request_id as "requestId", l.old_values as "oldValues",
      l.new_values as "newValues"
    from rate_limiter_admin.export_audit(
      ${since}::timestamptz, ${until}::timestamptz, ${appId}::uuid, ${maxRows}::bigint
    ) as l
  `;
  yield* fetchBatches(sql);
}
