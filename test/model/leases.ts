import { floorDiv, max, min, sum } from "./amounts.ts";
import { ModelError } from "./model-error.ts";
import type { Pools, Taking } from "./pools.ts";
import { offered, type Source, tenthOfASecond, waitFor } from "./source.ts";
import { isLayer1, KINDS, type Kind, kindOf, type Mode } from "./world.ts";

/** Tokens and bytes, in millionths. */
export type Amounts = Readonly<Record<Kind, bigint>>;

export interface Grant {
  readonly granted: bigint;
  /** Where nothing was granted: when to ask again; null: never. */
  readonly retryAfterMs: bigint | null;
  readonly takings: readonly Taking[];
}

interface Lease {
  readonly app: string;
  readonly grants: Readonly<Record<Kind, Grant>>;
  /** Null: never. */
  readonly expires: bigint | null;
  settled: boolean;
}

/** Only what open leases hold is in the way. */
const SHORTLY_MS = 100n;

/** Section 8: leases. */
export class Leases {
  readonly #pools: Pools;
  readonly #leases = new Map<string, Lease>();

  constructor(pools: Pools) {
    this.#pools = pools;
  }

  lease(at: bigint, id: string, app: string, asked: Amounts, expires: bigint | null) {
    if (!this.#pools.isKnown(app)) throw new ModelError("unknown_application");
    const grants = {
      iops: this.#grant(at, app, "iops", asked.iops),
      bandwidth: this.#grant(at, app, "bandwidth", asked.bandwidth),
    };
    this.#leases.set(id, { app, grants, expires, settled: false });
    return grants;
  }

  /** Answers what was not spent. */
  settle(at: bigint, id: string, spent: Amounts, owed: Amounts): Amounts {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw new ModelError("unknown_lease");
    if (!isOpen(lease, at)) throw new ModelError("lease_is_over");
    for (const kind of KINDS) {
      if (spent[kind] > lease.grants[kind].granted) throw new ModelError("spent_more_than_leased");
    }
    lease.settled = true;
    const unspent = (kind: Kind) => lease.grants[kind].granted - spent[kind];
    for (const kind of KINDS) {
      const { takings } = lease.grants[kind];
      const back = unspent(kind) - owed[kind];
      if (back < 0n) this.#pools.takeLate(takings, -back, at);
      else for (const taking of takings) this.#pools.giveBack(taking, back, at);
    }
    return { iops: unspent("iops"), bandwidth: unspent("bandwidth") };
  }

  #grant(at: bigint, app: string, kind: Kind, asked: bigint): Grant {
    if (asked === 0n) return { granted: 0n, retryAfterMs: 0n, takings: [] };
    const enforced = this.#sources(at, app, kind, "enforce");
    const shadowed = this.#sources(at, app, kind, "shadow");
    const granted = this.#grantable(at, app, kind, asked, enforced);
    if (granted === 0n) {
      for (const source of [...enforced, ...shadowed]) this.#pools.heal(source);
      return { granted, retryAfterMs: this.#retry(at, asked, enforced), takings: [] };
    }
    const canPay = shadowed.every((source) => offered(source, floorOf(source)) >= granted);
    const taken = canPay ? [...enforced, ...shadowed] : enforced;
    if (!canPay) for (const source of shadowed) this.#pools.heal(source);
    const takings = taken.map((source) =>
      this.#pools.take(source, granted, "lease", floorOf(source)),
    );
    return { granted, retryAfterMs: 0n, takings };
  }

  #sources(at: bigint, app: string, kind: Kind, mode: Mode): Source[] {
    return this.#pools.inForce(app, mode, at).filter(({ type }) => kindOf(type) === kind);
  }

  #grantable(at: bigint, app: string, kind: Kind, asked: bigint, enforced: readonly Source[]) {
    if (this.#lacksQuota(enforced)) return 0n;
    const rooms = enforced.flatMap((source) => [
      offered(source, floorOf(source)),
      ...this.#rooms(at, app, kind, source, enforced),
    ]);
    return max([asked, ...rooms].reduce(min), 0n);
  }

  /**
   * What a lease may hold, and what it may hold beside the open ones: of the application those of
   * any grant, of layer 1 those that it was charged for.
   */
  #rooms(
    at: bigint,
    app: string,
    kind: Kind,
    source: Source,
    enforced: readonly Source[],
  ): bigint[] {
    const { type, bucket } = source;
    const { capacity } = bucket.lastTerms;
    const open = [...this.#leases.values()].filter((lease) => isOpen(lease, at));
    const own = sum(
      open.filter((lease) => lease.app === app).map(({ grants }) => grants[kind].granted),
    );
    const { numerator, denominator } = this.#pools.settings.leaseMaxShare;
    const mostAtOnce = floorDiv(capacity * numerator, denominator);
    if (isLayer1(type)) {
      const cluster = this.#pools.clusterOf(app);
      const charged = open
        .filter((lease) => this.#pools.clusterOf(lease.app) === cluster)
        .flatMap(({ grants }) => grants[kind].takings)
        .filter((taking) => taking.type === type && taking.mode === "enforce");
      const all = sum(charged.map(({ taken }) => taken));
      const { common, share } = this.#shares(app, source);
      const rooms = [capacity - all, max(share - own, common + share - all)];
      // One grant has its most of layer 2, or of layer 1 where that is all there is.
      return enforced.some((other) => !isLayer1(other.type)) ? rooms : [...rooms, mostAtOnce];
    }
    return [mostAtOnce, capacity - own];
  }

  /** Of the capacity of layer 1: what is common, and the application's own share of the rest. */
  #shares(app: string, { bucket, headroom, reserve }: Source) {
    const { capacity } = bucket.lastTerms;
    const { numerator, denominator } = this.#pools.settings.leaseCommonShare;
    const { tenants, siblings } = this.#pools.sharersWith(app);
    const beyond = capacity * (denominator - numerator) - headroom * denominator;
    return {
      common: floorDiv(capacity * numerator, denominator),
      share:
        (reserve?.lastTerms.capacity ?? 0n) +
        floorDiv(max(beyond, 0n), denominator * tenants * siblings),
    };
  }

  #retry(at: bigint, asked: bigint, enforced: readonly Source[]): bigint | null {
    // The buckets of layer 2 come first.
    const [first] = enforced;
    if (first === undefined || this.#lacksQuota(enforced)) return null;
    const target = min(asked, tenthOfASecond(first));
    let longest = 0n;
    for (const source of enforced) {
      const wait = waitFor(source, target, at, floorOf(source));
      if (wait === null) return null;
      longest = max(longest, wait);
    }
    return longest === 0n ? SHORTLY_MS : longest;
  }

  #lacksQuota(enforced: readonly Source[]): boolean {
    const hasOwn = enforced.some(({ type }) => !isLayer1(type));
    return this.#pools.settings.deniesWithoutQuota && !hasOwn;
  }
}

function floorOf({ bucket }: Source): bigint {
  return bucket.lastTerms.minReserve;
}

function isOpen({ settled, expires }: Lease, at: bigint): boolean {
  return !settled && (expires === null || at < expires);
}
