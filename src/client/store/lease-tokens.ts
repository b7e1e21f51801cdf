import type { LeaseGrant } from "../leases/lease.ts";
import { grantColumns, select } from "./columns.ts";
import type { Sql } from "./sql.ts";

export interface LeaseRequest {
  readonly application: string;
  readonly tokens: string;
  readonly bytes: string;
  /** Null: as long as the setting lease_seconds says. */
  readonly lifetimeMs: number | null;
  readonly holder: string;
  /** JSON of local denials since the last call. */
  readonly denials: string | null;
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
      ${request.denials}::text::jsonb,
      ${request.leaseId}
    )
  `;
  return row;
}
