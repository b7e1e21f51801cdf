import type { Sql } from "./sql.ts";

/** Reports denial counts where no lease call carries them. */
export async function reportDenials(
  sql: Sql,
  application: string,
  denials: string | null,
): Promise<void> {
  await sql`select rate_limiter.report_counts(${application}, ${denials}::text::jsonb)`;
}
