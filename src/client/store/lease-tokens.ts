import type { LeaseGrant } from "../leases/lease.ts";
import { grantColumns, select } from "./columns.ts";
import { type Counts, textOf } from "./exchange-leases.ts";
import type { Sql } from "./sql.ts";

export interface LeaseRequest {
  readonly application: string;
  readonly tokens: string;
  readonly bytes: string;
  /** Null: as long as the setting lease_seconds says. */
  readonly lifetimeMs: number | null;
  readonly holder: string;
  readonly counts: Counts;
  /** The id that the lease gets: asked for again, it is the same lease. */
  readonly leaseId: string;
}

export async function leaseTokens(sql: Sql, request: LeaseRequest): Promise<LeaseGrant> {
  const [row] = await select<[LeaseGrant]>(sql, grantColumns)`
    from rate_limiter.lease_tokens(
      ${request.application},
      ${request.tokens}::text::numeric,
      ${request.bytes}::text::numeric,
      ${request.lifetimeMs}::double precision * interval '1 millisecond',
      ${request.holder},
      ${textOf(request.counts.denials)}::text::jsonb,
      ${request.leaseId},
      ${textOf(request.counts.demand)}::text::jsonb
    )
  `;
  return row;
}
