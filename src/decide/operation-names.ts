import type { Sql } from "../postgres/connect.ts";

export async function operationNames(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select c.operation as name from rate_limiter.operation_costs() as c where c.is_active
  `;
  return rows.map(({ name }) => name);
}
