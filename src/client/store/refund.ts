import type { Sql } from "./sql.ts";

/** Whether this call gave the charge back; later ones change nothing. */
export async function refund(sql: Sql, application: string, reference: string): Promise<boolean> {
  const [row] = await sql<[{ refunded: boolean }]>`
    select rate_limiter.refund(${application}, ${reference}) as refunded
  `;
  return row.refunded;
}
