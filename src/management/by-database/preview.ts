import type { TransactionSql } from "../../postgres/connect.ts";
import type { QuotaLimits, QuotaPreview } from "../management.ts";

export async function previewQuota(
  sql: TransactionSql,
  [tenant = "", application = ""]: readonly string[],
  { iops = null, bandwidth = null }: QuotaLimits,
): Promise<QuotaPreview | null> {
  const [preview] = await sql<QuotaPreview[]>`
    select
      p.recorded_minutes, p.operations::text, p.bytes::text,
      p.throttled_operations_before::text, p.throttled_operations_least::text,
      p.throttled_operations_most::text, p.throttled_bytes_before::text,
      p.throttled_bytes_least::text, p.throttled_bytes_most::text
    from rate_limiter.applications as a
    join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
    cross join lateral rate_limiter_admin.preview_quota(
      a.app_id, now() - interval '1 day', now(),
      jsonb_populate_record(
        null::rate_limiter_admin.iops_limits, ${sql.json(iops as never)}
      ),
      jsonb_populate_record(
        null::rate_limiter_admin.bandwidth_limits, ${sql.json(bandwidth as never)}
      )
    ) as p
    where t.name = ${tenant}
      and a.name = ${application}
  `;
  return preview ?? null;
}
