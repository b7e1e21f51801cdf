import type { Sql } from "../../../src/postgres/connect.ts";
import { text } from "../../model/amounts.ts";
import type { Answer } from "../../model/answers.ts";
import type { Limiter } from "../../model/limiter.ts";

/** What token-semantics.md names; the words of all other errors are SQL's own. */
const NAMED = new Set([
  ...["unknown_application", "unknown_operation", "negative_size"],
  ...["borrower_in_debt", "duration_too_long", "lender_not_allowed", "borrow_limit"],
  "lender_short",
]);

export function comparable(answer: Answer): Answer {
  const { error } = answer;
  return error === undefined || NAMED.has(String(error)) ? answer : { error: "another" };
}

type Balances = Record<string, { tokens: string; capacity: string | null }>;

/**
 * Every bucket that ever had a quota, as it stands at a moment: those of applications and of the
 * clusters that have any, without a capacity while dormant, and reserves that are not.
 */
export function modelBalances(limiter: Limiter, at: bigint): Balances {
  const begun = limiter.balancesAt(at).filter(({ level }) => level.position >= 0);
  const compared = begun.filter(({ key, terms }) => terms !== null || !key.includes("_reserve"));
  return Object.fromEntries(
    compared.map(({ key, level, terms }) => {
      return [key, { tokens: text(level.tokens), capacity: terms && text(terms.capacity) }];
    }),
  );
}

export async function sqlBalances(sql: Sql, epoch: string, atUs: number): Promise<Balances> {
  const rows = await sql<{ key: string; tokens: string; capacity: string | null }[]>`
    select
      coalesce('app:' || a.name, 'cluster:' || c.name) || ' ' || b.bucket_type || ' ' || b.mode
        as key,
      n.current_tokens as tokens,
      n.capacity
    from rate_limiter.token_buckets as b
    left join rate_limiter.applications as a on a.app_id = b.owner_id
    left join rate_limiter.clusters as c on c.cluster_id = b.owner_id
    cross join lateral rate_limiter_internal.bucket_at(
      ${epoch}::text::timestamptz + ${atUs}::bigint * interval '1 microsecond', b
    ) as r
    cross join lateral (select (r.bucket).*) as n
    where coalesce(n.capacity, n.last_capacity) is not null
      and (c.cluster_id is null or exists (
        select from rate_limiter.applications as m where m.cluster_id = c.cluster_id
      ))
      and (n.capacity is not null or b.reserve_cluster_id is null)
  `;
  return Object.fromEntries(rows.map(({ key, ...balance }) => [key, balance]));
}

/** Buckets that their ledger does not explain. */
export async function ledgerGaps(sql: Sql): Promise<unknown[]> {
  return [
    ...(await sql`
      select * from rate_limiter.verify_ledger()
    `),
  ];
}
