import type { Sql } from "./sql.ts";

/** Used beyond leases. */
export interface OwedCharge {
  readonly tokens: string;
  readonly bytes: string;
  /** The same for every repetition of the same charge, which is then made once. */
  readonly idempotencyKey: string;
}

export async function chargeOwed(
  sql: Sql,
  application: string,
  { tokens, bytes, idempotencyKey }: OwedCharge,
): Promise<void> {
  await sql`
    select from rate_limiter.charge_owed(
      ${application}, ${tokens}::text::numeric, ${bytes}::text::numeric, ${idempotencyKey}
    )
  `;
}
