import { greatest, least } from "./bucket.ts";
import type { Application, Cluster } from "./owners.ts";

const askingUs = 3_000_000;
/** Counting ends where a share is too small to matter. */
const mostCounted = 1_000;
const secondUs = 1_000_000n;

/** Of layer 1, for the one who asks. */
export interface LeaseShare {
  readonly allowance: bigint;
  /** Millionths a second. */
  readonly rate: bigint;
}

/** Layer 1 is short when less than half of what it can give is there. */
export function isShort({ bucket }: Cluster, at: number): boolean {
  return 2n * bucket.tokens(at) < bucket.capacity;
}

/** lease_share_at(): undefined where layer 1 is not short, or no other application leases. */
export function shareOf(application: Application, at: number): LeaseShare | undefined {
  const { cluster } = application;
  if (!isShort(cluster, at)) return undefined;
  const { siblings, otherTenants } = askingBeside(application, at);
  if (siblings + otherTenants === 0) return undefined;
  const sharers = BigInt((otherTenants + 1) * (siblings + 1));
  const rate = (cluster.bucket.rate * secondUs) / sharers;
  const own = cluster.shares.get(application.id);
  const earned =
    own === undefined
      ? rate / 10n
      : own.left + (rate * BigInt(Math.max(at - own.askedAt, 0))) / secondUs;
  return { rate, allowance: least(earned, rate * 2n) };
}

export function writeShare(application: Application, at: number, left: bigint): void {
  const { cluster, id, tenant } = application;
  cluster.shares.set(id, { tenant, askedAt: at, left });
}

export function askedLately({ cluster, id }: Application, at: number): boolean {
  const askedAt = cluster.shares.get(id)?.askedAt;
  return askedAt !== undefined && askedAt >= at - Number(secondUs) && askedAt <= at;
}

function askingBeside({ id, tenant, cluster }: Application, at: number) {
  const tenants = new Set<string>();
  let [siblings, counted] = [0, 0];
  for (const [other, share] of cluster.shares) {
    if (other === id || Math.abs(share.askedAt - at) > askingUs) continue;
    if (counted === mostCounted) break;
    counted += 1;
    if (share.tenant === tenant) siblings += 1;
    else tenants.add(share.tenant);
  }
  return { siblings, otherTenants: tenants.size };
}

/** cluster_lease_room(): what may be leased of layer 1 beside the open leases. */
export function clusterRoom(
  { cluster, tenant }: Application,
  leased: bigint,
  asked: bigint,
  held: bigint,
): bigint {
  const { capacity } = cluster.bucket;
  const room = capacity - leased;
  const common = capacity / 2n;
  if (common - leased >= asked) return room;
  const sharers = cluster.tenants.size * (cluster.tenants.get(tenant) ?? 1);
  const own = (capacity - common) / BigInt(sharers);
  return least(room, greatest(own - held, common + own - leased));
}
