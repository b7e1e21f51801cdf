import { type Bucket, ceilDiv, greatest, least } from "./bucket.ts";
import { clusterRoom, type LeaseShare } from "./lease-share.ts";
import type { Application } from "./owners.ts";

const mostOpen = 256;
const secondUs = 1_000_000n;

/** Layer 1 as a grant sees it. */
export interface Layer1 {
  readonly tokens: bigint;
  readonly leased: bigint;
  readonly share: LeaseShare | undefined;
}

export interface Proposal {
  readonly granted: bigint;
  /** Null: never under these quotas. */
  readonly retryAfterMs: bigint | null;
  readonly holders: number;
  /** Of the share of layer 1, after the grant. */
  readonly shareLeft: bigint;
}

/** propose_lease() and lease_amount(), of tokens: what a lease would hold, and when to ask again. */
export function proposeLease(
  application: Application,
  at: number,
  asked: bigint,
  holder: string,
  layer1: Layer1,
): Proposal {
  const { bucket } = application;
  const held = application.held(at, holder);
  const holders = held.otherHolders + 1;
  const { share } = layer1;
  if (held.leases >= mostOpen)
    return { granted: 0n, retryAfterMs: 1_000n, holders, shareLeft: share?.allowance ?? 0n };
  const room = least(
    least(bucket.capacity - held.tokens, bucket.capacity / 2n),
    clusterRoom(application, layer1.leased, asked, held.tokens),
  );
  const layer2 = bucket.tokens(at);
  const offered1 = share === undefined ? layer1.tokens : least(layer1.tokens, share.allowance);
  const granted = greatest(least(least(asked, greatest(room, 0n)), least(layer2, offered1)), 0n);
  const retryAfterMs = asked === 0n ? 0n : retryOf(application, asked, layer2, offered1, share);
  return {
    granted,
    retryAfterMs: granted === 0n && asked > 0n && retryAfterMs === 0n ? 100n : retryAfterMs,
    holders,
    shareLeft: (share?.allowance ?? 0n) - (share === undefined ? 0n : granted),
  };
}

function retryOf(
  { bucket, cluster }: Application,
  asked: bigint,
  layer2: bigint,
  offered1: bigint,
  share: LeaseShare | undefined,
): bigint | null {
  const wanted = least(asked, (bucket.rate * secondUs) / 10n);
  const own = waitFor(bucket, layer2, wanted);
  if (share === undefined) return longest(own, waitFor(cluster.bucket, offered1, wanted));
  // It asks again when it has earned a tenth of a second of its share. In ten-millionths.
  const lacking = least(wanted * 10n, share.rate) - offered1 * 10n;
  if (lacking <= 0n) return own;
  return own === null ? null : greatest(own, ceilDiv(lacking * 100n, share.rate));
}

/** offer_wait_ms(): null for never. */
function waitFor(bucket: Bucket, offered: bigint, wanted: bigint): bigint | null {
  if (offered >= wanted) return 0n;
  if (bucket.capacity < wanted) return null;
  return (ceilDiv(wanted - offered, bucket.rate) + 999n) / 1_000n;
}

function longest(one: bigint | null, other: bigint | null): bigint | null {
  return one === null || other === null ? null : greatest(one, other);
}
