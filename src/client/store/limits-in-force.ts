import type { LimitsInForce } from "../limits.ts";
import type { Sql } from "./sql.ts";

export async function limitsInForce(sql: Sql, application: string): Promise<LimitsInForce> {
  const [row] = await sql<[{ limits: string }]>`
    select rate_limiter.limits_in_force(${application})::text as limits
  `;
  return JSON.parse(row.limits) as LimitsInForce;
}
