import { floorDiv, MICRO, max, min, sum } from "./amounts.ts";
import { type Settings, settingsOf } from "./settings.ts";
import { type Draw, most, reservePart, type Source } from "./source.ts";
import { type Held, Store } from "./store.ts";
import { reserveTimeline, type Timeline, timelineOf } from "./timeline.ts";
import {
  BUCKET_TYPES,
  type BucketType,
  isLayer1,
  type Kind,
  kindOf,
  MODES,
  type Mode,
  type World,
} from "./world.ts";

/** What an operation or a lease took from one bucket, as far as it stands. */
export interface Taking {
  readonly app: string;
  readonly type: BucketType;
  readonly mode: Mode;
  taken: bigint;
  /** The part of it that the application's reserve paid. */
  fromReserve: bigint;
}

interface Reserve {
  readonly app: string;
  readonly rate: bigint;
  readonly capacity: bigint;
}

/** The buckets of a world as its applications draw on them. */
export class Pools {
  readonly world: World;
  readonly settings: Settings;
  readonly store = new Store();
  readonly #timelines = new Map<string, Timeline>();
  /** What tenants have left of their part of layer 1, below zero what they owe, and since when. */
  readonly #lateParts = new Map<string, { readonly at: bigint; readonly left: bigint }>();

  constructor(world: World) {
    this.world = world;
    this.settings = settingsOf(world.settings);
  }

  /** Every bucket that has, or will have, a quota, as it stands at a moment. */
  allAt(at: bigint): Held[] {
    const apps = this.world.applications.map(({ name }) => name);
    const sources = apps.flatMap((app) =>
      MODES.flatMap((mode) =>
        BUCKET_TYPES.flatMap((type) => this.source(app, type, mode, at) ?? []),
      ),
    );
    const all = sources.flatMap(({ bucket, reserve }) => (reserve ? [bucket, reserve] : [bucket]));
    return [...new Map(all.map((held) => [held.key, held])).values()];
  }

  isKnown(app: string): boolean {
    return this.world.applications.some(({ name }) => name === app);
  }

  clusterOf(app: string): string | null {
    return this.world.applications.find(({ name }) => name === app)?.cluster ?? null;
  }

  tenantOf(app: string): string | undefined {
    return this.world.applications.find(({ name }) => name === app)?.tenant;
  }

  /** How many tenants a cluster has, and how many of its applications are of this one's tenant. */
  sharersWith(app: string): { tenants: bigint; siblings: bigint } {
    const cluster = this.clusterOf(app);
    const all = this.world.applications.filter((other) => other.cluster === cluster);
    return {
      tenants: BigInt(new Set(all.map(({ tenant }) => tenant)).size),
      siblings: BigInt(all.filter(({ tenant }) => tenant === this.tenantOf(app)).length),
    };
  }

  /** Those that are under a quota at `at`, in the order of section 6.4. */
  inForce(app: string, mode: Mode, at: bigint): Source[] {
    return BUCKET_TYPES.flatMap((type) => this.inForceOf(app, type, mode, at) ?? []);
  }

  inForceOf(app: string, type: BucketType, mode: Mode, at: bigint): Source | null {
    const source = this.source(app, type, mode, at);
    return source === null || source.bucket.terms === null ? null : source;
  }

  /** Dormant or not; null where no quota was ever planned. */
  source(app: string, type: BucketType, mode: Mode, at: bigint): Source | null {
    const cluster = this.clusterOf(app);
    if (isLayer1(type) && cluster === null) return null;
    const owner = isLayer1(type) ? `cluster:${cluster}` : `app:${app}`;
    const timeline = this.#timeline(owner, type, mode);
    if (timeline.length === 0) return null;
    const bucket = this.store.at(`${owner} ${type} ${mode}`, timeline, at);
    const isShared = isLayer1(type) && mode === "enforce" && cluster !== null;
    const reserves = isShared ? this.#reserves(cluster, kindOf(type)) : [];
    const own = reserves.find((reserve) => reserve.app === app);
    return {
      app,
      type,
      mode,
      bucket,
      debtLimit: this.#debtLimit(type, bucket.lastTerms.rate, reserves),
      headroom: sum(reserves.map(({ capacity }) => capacity)),
      reserve: own === undefined ? null : this.#reserveAt(own, kindOf(type), timeline, at),
    };
  }

  /** Takes a charge, or a grant that leaves `floor` untouched. */
  take(source: Source, amount: bigint, type: string, floor = 0n): Taking {
    const { app, mode } = source;
    const fromReserve = this.#charge(source, amount, type, floor);
    if (fromReserve === 0n) this.#healReserve(source);
    return { app, type: source.type, mode, taken: amount, fromReserve };
  }

  /** Answers what the reserve paid; one that pays nothing is not written. */
  #charge(source: Source, amount: bigint, type: string, floor: bigint): bigint {
    const { bucket, reserve } = source;
    const fromReserve = reservePart(source, amount, floor);
    this.store.write(bucket, type, -amount);
    if (reserve !== null && fromReserve > 0n) this.store.write(reserve, type, -fromReserve);
    return fromReserve;
  }

  /** Section 6.3: an oversize charge on layer 1, bounded as late charges are. */
  takeOversize(draw: Draw, at: bigint): Taking {
    const { app, type, mode, charge, bucket, headroom } = draw;
    const part = this.#partOf(draw, at);
    if (part === null) return this.take(draw, charge, "consume");
    const free = aboveHalfOf(draw);
    const taken = min(charge, free + part.left + reserved(draw));
    const floor = max(bucket.level.tokens - headroom - free - part.left, 0n);
    const fromReserve = this.#charge(draw, taken, "consume", floor);
    if (fromReserve === 0n) this.#healReserve(draw);
    this.#lateParts.set(part.key, { at, left: part.left + free + fromReserve - charge });
    return { app, type, mode, taken, fromReserve };
  }

  /** Milliseconds until an oversize charge finds the tenant's part of layer 1 out of debt. */
  partWait(draw: Draw, at: bigint): bigint {
    const part = draw.charge > most(draw) ? this.#partOf(draw, at) : null;
    if (part === null || part.left >= 0n) return 0n;
    return (-1000n * part.left + part.perSecond - 1n) / part.perSecond;
  }

  /** Section 5: that the clock was set back is written by the call that finds it. */
  heal(source: Source): void {
    this.store.heal(source.bucket);
    this.#healReserve(source);
  }

  /** Gives back a part of what stands, up to the capacity; the reserve comes first. */
  giveBack(taking: Taking, amount: bigint, at: bigint): void {
    const source = this.source(taking.app, taking.type, taking.mode, at) as Source;
    const toReserve = min(amount, taking.fromReserve);
    this.#credit(source.bucket, amount);
    if (source.reserve !== null) this.#credit(source.reserve, toReserve);
    taking.taken -= amount;
    taking.fromReserve -= toReserve;
  }

  /** A repayment to the lender. */
  credit(source: Source, amount: bigint): void {
    this.#credit(source.bucket, amount);
  }

  /** Section 8: what came up later, of one resource, on all the buckets that it is drawn from. */
  takeLate(takings: readonly Taking[], amount: bigint, at: bigint): void {
    const layer2 = takings.filter(({ type }) => !isLayer1(type));
    let atMost = amount;
    for (const taking of layer2) {
      const taken = this.#takeLate(taking, amount, at);
      if (taking.mode === "enforce") atMost = taken;
    }
    for (const taking of takings.filter(({ type }) => isLayer1(type))) {
      this.#takeLate(taking, atMost, at);
    }
  }

  #takeLate(standing: Taking, amount: bigint, at: bigint): bigint {
    const source = this.source(standing.app, standing.type, standing.mode, at) as Source;
    const lowest = source.headroom - source.debtLimit;
    const wanted = min(amount, max(source.bucket.level.tokens - lowest, 0n));
    const part = isLayer1(source.type) ? this.#latePart(source, wanted, at) : null;
    const taken = part === null ? wanted : min(wanted, part.most + reserved(source));
    if (taken === 0n) return 0n;
    // The reserve pays beyond the tenant's part, too.
    const floor =
      part === null ? 0n : max(source.bucket.level.tokens - source.headroom - part.most, 0n);
    const fromReserve = this.#charge(source, taken, "settle", floor);
    part?.charge(taken - fromReserve);
    standing.taken += taken;
    standing.fromReserve += fromReserve;
    return taken;
  }

  /**
   * Beyond half of what layer 1 can give, late charges have the tenant's part of it; null: as much
   * as they want.
   */
  #latePart(source: Source, wanted: bigint, at: bigint) {
    const free = aboveHalfOf(source);
    const part = wanted <= free ? null : this.#partOf(source, at);
    if (part === null) return null;
    return {
      most: free + max(part.left, 0n),
      charge: (paid: bigint) => {
        if (paid > free) this.#lateParts.set(part.key, { at, left: part.left - paid + free });
      },
    };
  }

  /** An equal part of layer 1's refill by tenant, one second's at most; null: no other tenant shares it. */
  #partOf({ app, type, mode, bucket }: Source, at: bigint) {
    const { tenants } = this.sharersWith(app);
    if (!isLayer1(type) || mode === "shadow" || tenants === 1n) return null;
    const cluster = this.clusterOf(app) as string;
    const unreserved =
      bucket.lastTerms.rate -
      sum(this.#reserves(cluster, kindOf(type)).map((reserve) => reserve.rate));
    const perSecond = floorDiv(max(unreserved, 0n) * MICRO, tenants);
    const key = JSON.stringify([cluster, this.tenantOf(app), type]);
    const last = this.#lateParts.get(key) ?? { at, left: perSecond };
    const earned = floorDiv(perSecond * max(at - last.at, 0n), MICRO);
    return { key, perSecond, left: min(last.left + earned, perSecond) };
  }

  #credit(held: Held, amount: bigint): void {
    const room = max(held.lastTerms.capacity - held.level.tokens, 0n);
    const given = min(room, amount);
    if (given > 0n) this.store.write(held, "credit", given);
  }

  #healReserve({ reserve }: Source): void {
    if (reserve !== null) this.store.heal(reserve);
  }

  #timeline(owner: string, type: BucketType, mode: Mode): Timeline {
    const key = `${owner} ${type} ${mode}`;
    const known = this.#timelines.get(key) ?? timelineOf(this.world, owner, type, mode);
    this.#timelines.set(key, known);
    return known;
  }

  #reserves(cluster: string, kind: Kind): Reserve[] {
    return (this.world.reservations ?? []).flatMap((reservation) => {
      const rate = kind === "iops" ? reservation.iops : reservation.bandwidth_bps;
      if (rate === null || this.clusterOf(reservation.app) !== cluster) return [];
      const capacity = BigInt(rate) * BigInt(reservation.seconds ?? 1) * MICRO;
      return [{ app: reservation.app, rate: BigInt(rate), capacity }];
    });
  }

  #reserveAt({ app, rate, capacity }: Reserve, kind: Kind, shared: Timeline, at: bigint): Held {
    const timeline = reserveTimeline(shared, rate, capacity);
    return this.store.at(`app:${app} ${kind}_reserve enforce`, timeline, at);
  }

  #debtLimit(type: BucketType, rate: bigint, reserves: readonly Reserve[]): bigint {
    const { maxDebtSeconds, maxClusterDebtSeconds } = this.settings;
    if (!isLayer1(type)) return rate * maxDebtSeconds * MICRO;
    const unreserved = rate - sum(reserves.map((reserve) => reserve.rate));
    return max(unreserved, 0n) * maxClusterDebtSeconds * MICRO;
  }
}

/** The upper half of what layer 1 can give: it is free to all. */
function aboveHalfOf({ bucket, headroom }: Source): bigint {
  return max(floorDiv(2n * bucket.level.tokens - bucket.lastTerms.capacity - headroom, 2n), 0n);
}

function reserved({ reserve }: Source): bigint {
  return max(reserve?.level.tokens ?? 0n, 0n);
}
