import type { Sql } from "./sql.ts";

export async function applicationOfKey(sql: Sql, apiKey: string): Promise<string> {
  const [row] = await sql<[{ app_id: string }]>`
    select rate_limiter.application_of_key(${apiKey}) as app_id
  `;
  return row.app_id;
}
