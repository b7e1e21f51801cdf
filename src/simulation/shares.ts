/** Someone who wants so much; the outcome is in `entitled`. */
interface Wanting {
  readonly wanted: number;
  entitled: number;
}

/** Fair shares of what there is: one who wants more never gets less than another. */
function fill<W extends Wanting>(wanting: readonly W[], available: number): void {
  const sorted = wanting.toSorted((one, other) => one.wanted - other.wanted);
  let left = available;
  for (const [place, each] of sorted.entries()) {
    each.entitled = Math.min(each.wanted, left / (sorted.length - place));
    left -= each.entitled;
  }
}

export interface Claim {
  readonly tenant: string;
  readonly wanted: number;
  readonly got: number;
}

/** What each was entitled to of a cluster, by tenant first and then by application. */
export function entitlements(claims: readonly Claim[], available: number): number[] {
  const items = claims.map((claim) => ({ ...claim, entitled: 0 }));
  const tenants = [...Map.groupBy(items, ({ tenant }) => tenant).values()].map((members) => ({
    members,
    wanted: members.reduce((sum, { wanted }) => sum + wanted, 0),
    entitled: 0,
  }));
  fill(tenants, available);
  for (const { members, entitled } of tenants) fill(members, entitled);
  return items.map(({ entitled }) => entitled);
}

/** 1 where all have the same part of what they are entitled to; 1/n where one has all. */
export function jainIndex(parts: readonly number[]): number {
  const sum = parts.reduce((total, part) => total + part, 0);
  const squares = parts.reduce((total, part) => total + part * part, 0);
  return squares === 0 ? 1 : (sum * sum) / (parts.length * squares);
}
