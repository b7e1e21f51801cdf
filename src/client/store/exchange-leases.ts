import type { LeaseGrant } from "../leases/lease.ts";
import type { Sql } from "./sql.ts";

/** A row of counts for SQL. */
export type CountRow = Readonly<Record<string, string | number | boolean>>;

/** What was counted of one application, as totals that count once; null for nothing. */
export interface Counts {
  readonly denials: readonly CountRow[] | null;
  readonly demand: readonly CountRow[] | null;
}

/** Undefined fields are left out. */
export interface SettlementRow {
  readonly app_id: string;
  readonly lease_id: string | undefined;
  readonly spent_tokens: string | undefined;
  readonly spent_bytes: string | undefined;
  readonly denials: readonly CountRow[] | undefined;
  readonly demand: readonly CountRow[] | undefined;
}

/** The lease that ends with the renewal, where there is one, and what to lease next. */
export interface RenewalRow extends SettlementRow {
  readonly tokens: string;
  readonly bytes: string;
  readonly next_lease_id: string;
}

export interface ChargeRow {
  readonly app_id: string;
  readonly tokens: string;
  readonly bytes: string;
  readonly key: string;
}

export interface ExchangeRows {
  readonly renewals: readonly RenewalRow[];
  readonly settlements: readonly SettlementRow[];
  readonly charges: readonly ChargeRow[];
}

export interface LeaseHolder {
  readonly holder: string;
  /** Life of a lease; null: as long as the setting lease_seconds says. */
  readonly lifetimeMs: number | null;
}

/** What became of a renewal; of a charge (with `key`) only where it was not made. */
export type ExchangeAnswer = { readonly app_id: string; readonly key?: string } & (
  | { readonly is_busy: true }
  | { readonly code: string; readonly message: string }
  | GrantAnswer
);

/** A grant without its nulls. */
type GrantAnswer = Omit<Partial<LeaseGrant>, "holders"> & { readonly holders: string };

/** Does not wait for buckets that another transaction holds. */
export async function exchangeLeases(
  sql: Sql,
  { renewals, settlements, charges }: ExchangeRows,
  { holder, lifetimeMs }: LeaseHolder,
): Promise<ExchangeAnswer[]> {
  const [row] = await sql<[{ answers: string }]>`
    select rate_limiter.exchange_leases(
      ${JSON.stringify(renewals)}::text::jsonb,
      ${JSON.stringify(settlements)}::text::jsonb,
      ${JSON.stringify(charges)}::text::jsonb,
      ${lifetimeMs}::double precision * interval '1 millisecond',
      ${holder},
      false
    )::text as answers
  `;
  return JSON.parse(row.answers);
}

export function textOf(rows: readonly CountRow[] | null): string | null {
  return rows === null ? null : JSON.stringify(rows);
}

export function grantOf({ holders, ...grant }: GrantAnswer): LeaseGrant {
  return {
    lease_id: grant.lease_id ?? null,
    tokens: grant.tokens ?? "0",
    bytes: grant.bytes ?? "0",
    lifetime_ms: grant.lifetime_ms ?? "0",
    retry_after_ms: grant.retry_after_ms ?? null,
    holders: Number(holders),
    is_limited_tokens: grant.is_limited_tokens ?? true,
    is_limited_bytes: grant.is_limited_bytes ?? true,
  };
}
