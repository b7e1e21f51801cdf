import type { TransactionSql } from "../../postgres/connect.ts";
import { camelKeys } from "../camel-keys.ts";
import { enumName } from "../graphql/enums.ts";
import type { ExportRequest } from "./export-request.ts";
import { type InTransaction, type Pages, pageSize } from "./pages.ts";
import { keyOf, type Row } from "./row.ts";

export async function* auditPages(inTransaction: InTransaction, wanted: ExportRequest): Pages {
  let { after } = wanted;
  for (;;) {
    const rows = await inTransaction((sql) => readPage(sql, wanted, after));
    if (rows.length > 0) yield rows;
    if (rows.length < pageSize) return;
    after = keyOf("audit", rows.at(-1));
  }
}

/** Through JSON, moments are written as in ISO 8601. */
async function readPage(
  sql: TransactionSql,
  { since, until, appId }: ExportRequest,
  [createdAt = null, logId = null]: readonly (string | null)[],
): Promise<readonly Row[]> {
  const rows = await sql<Row[]>`
    select
      to_jsonb(l.created_at) #>> '{}' as "createdAt", l.log_id as "logId",
      l.tenant_id as "tenantId", l.app_id as "appId", l.user_id as "userId", l.action,
      l.entity_type as "entityType", l.entity_id as "entityId", l.status,
      l.error_message as "errorMessage", host(l.ip_address) as "ipAddress",
      l.user_agent as "userAgent", l.request_id as "requestId", l.old_values as "oldValues",
      l.new_values as "newValues"
    from rate_limiter_admin.export_audit(
      ${since}, ${until}, ${appId}, ${createdAt}, ${logId}, ${pageSize}
    ) as l
  `;
  return rows.map((row) => ({
    ...row,
    action: enumName("AuditAction", String(row.action)),
    entityType: enumName("AuditEntityType", String(row.entityType)),
    status: enumName("AuditStatus", String(row.status)),
    oldValues: camelKeys(row.oldValues, 1),
    newValues: camelKeys(row.newValues, 1),
  }));
}
