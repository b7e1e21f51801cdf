import type { TransactionSql } from "../../postgres/connect.ts";

/** The tenant of the request's user; the empty text for one that is not known any more. */
export async function exportingTenant(sql: TransactionSql): Promise<string> {
  const [row] = await sql<{ tenant: string | null }[]>`
    select rate_limiter_internal.current_tenant_id() as tenant
  `;
  return row?.tenant ?? "";
}
