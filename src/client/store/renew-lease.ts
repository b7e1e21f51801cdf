import type { LeaseGrant } from "../leases/lease.ts";
import { grantColumns, select } from "./columns.ts";
import { textOf } from "./exchange-leases.ts";
import type { LeaseRequest } from "./lease-tokens.ts";
import type { Sql } from "./sql.ts";

export interface SpentLease {
  readonly id: string;
  readonly tokens: string;
  readonly bytes: string;
}

export async function renewLease(
  sql: Sql,
  spent: SpentLease,
  request: LeaseRequest,
): Promise<LeaseGrant> {
  const [row] = await select<[LeaseGrant]>(sql, grantColumns)`
    from rate_limiter.renew_lease(
      ${request.application},
      ${spent.id},
      ${spent.tokens}::text::numeric,
      ${spent.bytes}::text::numeric,
      ${request.tokens}::text::numeric,
      ${request.bytes}::text::numeric,
      ${request.lifetimeMs}::double precision * interval '1 millisecond',
      ${request.holder},
      ${textOf(request.counts.denials)}::text::jsonb,
      next_lease_id => ${request.leaseId},
      demand => ${textOf(request.counts.demand)}::text::jsonb
    )
  `;
  return row;
}
