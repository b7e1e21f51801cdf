import type { Sql } from "./sql.ts";

/** Fails with 25006 where the session cannot write, and where no transaction can be assigned. */
export async function proveWritable(sql: Sql): Promise<void> {
  const [row] = await sql<[{ is_read_only: boolean; xact: string }]>`
    select
      current_setting('transaction_read_only') = 'on' as is_read_only,
      pg_current_xact_id()::text as xact
  `;
  if (!row.is_read_only) return;
  throw Object.assign(new Error("the session is read-only"), { code: "25006" });
}
