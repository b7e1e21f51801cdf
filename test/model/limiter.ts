import { ceilDiv, MICRO, max, micro, min } from "./amounts.ts";
import { costOf } from "./cost.ts";
import { Refusal } from "./refusal.ts";
import { type Level, levelAt, nextWindow, scheduleOf, type Terms, termsAt } from "./terms.ts";
import { BUCKET_TYPES, type BucketType, type Mode, type World } from "./world.ts";

export interface Decision {
  allowed: boolean;
  reason: string | null;
  cost: bigint;
  remaining: bigint | null;
  remainingBytes: bigint | null;
  retryAfterMs: bigint | null;
  delayMs: bigint;
}

interface Bucket {
  readonly key: string;
  readonly type: BucketType;
  readonly terms: Terms;
  readonly level: Level;
}

interface Draw extends Bucket {
  readonly charge: bigint;
}

interface Charge {
  readonly app: string;
  readonly operation: string;
  readonly at: bigint;
  readonly takes: Map<string, bigint>;
  /** Whether shadow quotas were charged as well. */
  readonly modes: readonly Mode[];
  cost: bigint;
  settled: boolean;
  refunded: boolean;
}

interface Lease {
  readonly tokens: bigint;
  readonly bytes: bigint;
  /** The buckets that gave. */
  readonly from: Readonly<Record<"iops" | "bandwidth", readonly string[]>>;
  readonly expires: bigint;
  settled: boolean;
}

/** A bucket that borrows or lends. */
interface Holder {
  readonly owner: string;
  readonly type: BucketType;
}

interface Borrowing {
  readonly borrower: Holder;
  readonly lender: Holder | null;
  readonly due: bigint;
  owed: bigint;
  status: "active" | "repaid" | "defaulted";
}

const THOUSAND_US = 1000n;
/** A hundred years: an oversize charge that would take longer is not admitted. */
const LONGEST_PAYBACK_US = 3_155_760_000n * MICRO;

/** Sections 2 to 9 of the token semantics in one place: no database, no clock, no rounding. */
export class Limiter {
  readonly #world: World;
  readonly #epoch: bigint;
  readonly #levels = new Map<string, Level>();
  readonly #schedules = new Map<string, Terms[]>();
  readonly #charges = new Map<string, Charge>();
  readonly #leases = new Map<string, Lease>();
  readonly #borrowings = new Map<string, Borrowing>();

  constructor(world: World) {
    this.#world = world;
    this.#epoch = BigInt(Date.parse(world.epoch)) * THOUSAND_US;
  }

  consume(at: bigint, app: string, operation: string, size: bigint, reference?: string): Decision {
    const known = reference === undefined ? undefined : this.#charges.get(reference);
    if (known !== undefined && !known.refunded) {
      return { ...this.#answer(app, known.cost, at)(), allowed: true, reason: null };
    }
    const cost = costOf(this.#world, app, operation, size, at);
    const enforced = this.#draws(app, "enforce", cost, size * MICRO, at);
    const short = enforced.filter(isShort);
    const answer = this.#answer(app, cost, at);
    if (short.length > 0) {
      return {
        ...answer(),
        allowed: false,
        reason: reasonOf(short),
        retryAfterMs: this.#retry(short, at),
      };
    }
    const shadowed = this.#draws(app, "shadow", cost, size * MICRO, at);
    const unpaid = shadowed.filter(isShort);
    const taken = unpaid.length > 0 ? enforced : [...enforced, ...shadowed];
    const delayMs = enforced.map(delayOf).reduce(max, 0n);
    for (const draw of taken) this.#take(draw);
    if (reference !== undefined) {
      const takes = new Map(taken.map(({ key, charge }) => [key, charge]));
      const shadowPaid = unpaid.length === 0 && shadowed.length > 0;
      const modes: Mode[] = shadowPaid ? ["enforce", "shadow"] : ["enforce"];
      const open = { settled: false, refunded: false };
      this.#charges.set(reference, { app, operation, at, cost, takes, modes, ...open });
    }
    return { ...answer(), allowed: true, reason: reasonOf(unpaid), retryAfterMs: 0n, delayMs };
  }

  refund(at: bigint, reference: string): boolean {
    const charge = this.#charges.get(reference);
    if (charge === undefined || charge.refunded) return false;
    charge.refunded = true;
    for (const [key, amount] of charge.takes) this.#giveBack(key, amount, at);
    return true;
  }

  /** Section 8: the difference to what the actual size costs, by the rules of the first moment. */
  settle(at: bigint, reference: string, actualSize: bigint): boolean {
    const charge = this.#charges.get(reference);
    if (charge === undefined || charge.refunded || charge.settled) return false;
    charge.settled = true;
    const cost = costOf(this.#world, charge.app, charge.operation, actualSize, charge.at);
    for (const { owner, type } of this.#drawn(charge.app)) {
      for (const mode of charge.modes) {
        const owed = type.startsWith("iops") ? cost : actualSize * MICRO;
        this.#correct(charge, keyOf(owner, type, mode), owed, at);
      }
    }
    charge.cost = cost;
    return true;
  }

  #correct(charge: Charge, key: string, owed: bigint, at: bigint): void {
    const taken = charge.takes.get(key) ?? 0n;
    if (owed < taken) this.#giveBack(key, taken - owed, at);
    else this.#takeAnyway(key, owed - taken, at);
    charge.takes.set(key, owed);
  }

  lease(at: bigint, id: string, app: string, tokens: bigint, bytes: bigint, seconds: bigint) {
    const tokensLeased = this.#grant(app, "iops", tokens, at);
    const bytesLeased = this.#grant(app, "bandwidth", bytes, at);
    this.#leases.set(id, {
      tokens: tokensLeased.granted,
      bytes: bytesLeased.granted,
      from: { iops: tokensLeased.keys, bandwidth: bytesLeased.keys },
      expires: at + seconds * MICRO,
      settled: false,
    });
    return { tokens: tokensLeased.granted, bytes: bytesLeased.granted };
  }

  settleLease(at: bigint, id: string, spentTokens: bigint, spentBytes: bigint) {
    const lease = this.#leases.get(id);
    if (lease === undefined || lease.settled) return { tokens: 0n, bytes: 0n };
    lease.settled = true;
    if (at >= lease.expires) return { tokens: 0n, bytes: 0n };
    const tokens = max(lease.tokens - spentTokens, 0n);
    const bytes = max(lease.bytes - spentBytes, 0n);
    for (const key of lease.from.iops) this.#giveBack(key, tokens, at);
    for (const key of lease.from.bandwidth) this.#giveBack(key, bytes, at);
    return { tokens, bytes };
  }

  borrow(
    at: bigint,
    id: string,
    borrower: Holder,
    tokens: bigint,
    seconds: bigint,
    lender: Holder | null,
  ) {
    if (tokens <= 0n) throw new Refusal("amount_is_not_positive");
    if (seconds <= 0n) throw new Refusal("duration_is_not_positive");
    if (seconds > this.#setting("max_borrow_duration", 3600n))
      throw new Refusal("duration_too_long");
    this.#checkLender(borrower, lender);
    const bucket = this.#bucket(borrower.owner, borrower.type, "enforce", at);
    if (bucket === undefined) throw new Refusal("unknown_bucket");
    if (this.#inDefault(borrower)) throw new Refusal("borrower_in_default");
    const limit = scaled(bucket.terms.capacity, this.#decimal("max_borrow_ratio", "1.5"));
    if (bucket.level.tokens + tokens > limit) throw new Refusal("borrow_limit");
    if (lender !== null) this.#lend(lender, tokens, at);
    const after = bucket.level.tokens + tokens;
    this.#levels.set(bucket.key, { ...bucket.level, tokens: after });
    const interest = this.#decimal("default_interest_rate", "0.1");
    const owed = tokens + ceilDiv(tokens * interest, MICRO);
    const due = at + seconds * MICRO;
    this.#borrowings.set(id, { borrower, lender, due, owed, status: "active" });
    return { tokens: after, repayment: owed, due };
  }

  repay(at: bigint, id: string) {
    const debt = this.#borrowings.get(id);
    if (debt === undefined) throw new Refusal("unknown_borrowing");
    const bucket = this.#bucket(debt.borrower.owner, debt.borrower.type, "enforce", at);
    const paid = min(bucket?.level.tokens ?? 0n, debt.owed);
    if (bucket !== undefined && paid > 0n) {
      this.#levels.set(bucket.key, { ...bucket.level, tokens: bucket.level.tokens - paid });
      if (debt.lender !== null) {
        this.#giveBack(keyOf(debt.lender.owner, debt.lender.type, "enforce"), paid, at);
      }
    }
    debt.owed -= paid;
    const grace = this.#setting("borrow_grace_seconds", 0n) * MICRO;
    if (debt.owed === 0n) debt.status = "repaid";
    else if (at >= debt.due + grace) debt.status = "defaulted";
    return { paid, owed: debt.owed, status: debt.status };
  }

  /** The L1 bucket of an application is its cluster's. */
  ownerOf(app: string, type: BucketType): string | null {
    if (type.endsWith("_l2")) return `app:${app}`;
    const cluster = this.#application(app).cluster;
    return cluster === null ? null : `cluster:${cluster}`;
  }

  #application(app: string) {
    const application = this.#world.applications.find(({ name }) => name === app);
    if (application === undefined) throw new Refusal("unknown_application");
    return application;
  }

  #drawn(app: string): Holder[] {
    return BUCKET_TYPES.flatMap((type) => {
      const owner = this.ownerOf(app, type);
      return owner === null ? [] : [{ owner, type }];
    });
  }

  #bucket(owner: string, type: BucketType, mode: Mode, at: bigint): Bucket | undefined {
    const key = keyOf(owner, type, mode);
    const schedule = this.#schedule(owner, type, mode);
    const stored = this.#levels.get(key);
    const terms = termsAt(schedule, stored, at);
    if (terms === undefined) return undefined;
    return { key, type, terms, level: levelAt(schedule, stored, terms, at, this.#epoch) };
  }

  #schedule(owner: string, type: BucketType, mode: Mode): Terms[] {
    const key = keyOf(owner, type, mode);
    const known = this.#schedules.get(key) ?? scheduleOf(this.#world.quotas, owner, type, mode);
    this.#schedules.set(key, known);
    return known;
  }

  #draws(app: string, mode: Mode, cost: bigint, bytes: bigint, at: bigint): Draw[] {
    return this.#drawn(app).flatMap(({ owner, type }) => {
      const charge = type.startsWith("iops") ? cost : bytes;
      const bucket = charge === 0n ? undefined : this.#bucket(owner, type, mode, at);
      return bucket === undefined ? [] : [{ ...bucket, charge }];
    });
  }

  #take({ key, terms, level, charge }: Draw): void {
    const excess = charge - (level.tokens >= charge ? charge : terms.capacity);
    const tokens = excess > 0n ? 0n : level.tokens - charge;
    this.#levels.set(key, { ...level, tokens, last: level.last + ceilDiv(excess, terms.rate) });
  }

  /** Takes what is there; the rest is paid back in time, as an oversize charge is. */
  #takeAnyway(key: string, amount: bigint, at: bigint): void {
    const bucket = this.#bucketOf(key, at);
    if (bucket === undefined || amount === 0n) return;
    const { level, terms } = bucket;
    const taken = min(level.tokens, amount);
    const last = level.last + ceilDiv(amount - taken, terms.rate);
    this.#levels.set(key, { ...level, tokens: level.tokens - taken, last });
  }

  #bucketOf(key: string, at: bigint): Bucket | undefined {
    const [owner, type, mode] = key.split(" ") as [string, BucketType, Mode];
    return this.#bucket(owner, type, mode, at);
  }

  #giveBack(key: string, amount: bigint, at: bigint): void {
    const bucket = this.#bucketOf(key, at);
    if (bucket === undefined) return;
    const { level, terms } = bucket;
    const isWindow = terms.method === "fixed_window";
    const room = (tokens: bigint) => max(terms.capacity - tokens, 0n);
    const held = level.tokens === 0n && !isWindow ? 0n : min(room(level.tokens), amount);
    // What a charge took beyond the bucket is owed in time, and paid first.
    const earliest = isWindow ? nextWindow(terms, at, this.#epoch) : at;
    const owed = max(level.last - earliest, 0n);
    const sooner = min(owed, (amount - held) / terms.rate);
    const left = sooner === owed ? amount - held - sooner * terms.rate : 0n;
    const added = held + min(room(level.tokens + held), left);
    // Nothing changed is nothing written, the refill neither.
    if (added === 0n && sooner === 0n) return;
    this.#levels.set(key, { ...level, tokens: level.tokens + added, last: level.last - sooner });
  }

  #grant(app: string, resource: "iops" | "bandwidth", asked: bigint, at: bigint) {
    const buckets = this.#draws(app, "enforce", asked, asked, at).filter(({ type }) =>
      type.startsWith(resource),
    );
    const granted = buckets
      .map(({ level, terms }) => max(level.tokens - terms.reserve, 0n))
      .reduce(min, asked);
    if (granted === 0n) return { granted, keys: [] };
    for (const { key, level } of buckets) {
      this.#levels.set(key, { ...level, tokens: level.tokens - granted });
    }
    return { granted, keys: buckets.map(({ key }) => key) };
  }

  /** Applications of the same tenant (a world has one) and the borrower's own cluster lend. */
  #checkLender(borrower: Holder, lender: Holder | null): void {
    if (lender === null) return;
    if (lender.owner === borrower.owner) throw new Refusal("bucket_cannot_lend_to_itself");
    const [, app] = borrower.owner.split(":") as [string, string];
    const isOwnCluster = lender.owner === this.ownerOf(app, "iops_l1");
    if (lender.owner.startsWith("cluster:") && !isOwnCluster) throw new Refusal("unknown_lender");
  }

  #lend(lender: Holder, tokens: bigint, at: bigint): void {
    const bucket = this.#bucket(lender.owner, lender.type, "enforce", at);
    if (bucket === undefined) throw new Refusal("unknown_bucket");
    if (bucket.level.tokens - tokens < bucket.terms.reserve) throw new Refusal("lender_reserve");
    this.#levels.set(bucket.key, { ...bucket.level, tokens: bucket.level.tokens - tokens });
  }

  #inDefault(borrower: Holder): boolean {
    return [...this.#borrowings.values()].some(
      ({ borrower: { owner, type }, status }) =>
        owner === borrower.owner && type === borrower.type && status === "defaulted",
    );
  }

  #answer(app: string, cost: bigint, at: bigint): () => Omit<Decision, "allowed" | "reason"> {
    return () => ({
      cost,
      remaining: this.#remaining(app, "iops_l2", at),
      remainingBytes: this.#remaining(app, "bandwidth_l2", at),
      retryAfterMs: 0n,
      delayMs: 0n,
    });
  }

  #remaining(app: string, type: BucketType, at: bigint): bigint | null {
    const bucket =
      this.#bucket(`app:${app}`, type, "enforce", at) ??
      this.#bucket(`app:${app}`, type, "shadow", at);
    return bucket?.level.tokens ?? null;
  }

  #retry(short: readonly Draw[], at: bigint): bigint | null {
    if (short.some(isImpossible)) return null;
    return short.map((draw) => ceilDiv(this.#wait(draw, at), THOUSAND_US)).reduce(max, 0n);
  }

  #wait({ terms, level, charge }: Draw, at: bigint): bigint {
    if (terms.method === "fixed_window") {
      return nextWindow(terms, max(at, level.last), this.#epoch) - at;
    }
    const lacking = min(charge, terms.capacity) - level.tokens;
    return max(level.last - at, 0n) + ceilDiv(lacking, terms.rate);
  }

  #setting(key: string, otherwise: bigint): bigint {
    const value = this.#world.settings?.[key];
    return value === undefined ? otherwise : BigInt(value);
  }

  #decimal(key: string, otherwise: string): bigint {
    return micro(String(this.#world.settings?.[key] ?? otherwise));
  }
}

function keyOf(owner: string, type: BucketType, mode: Mode): string {
  return `${owner} ${type} ${mode}`;
}

function isShort(draw: Draw): boolean {
  const { terms, level, charge } = draw;
  if (level.tokens >= charge) return false;
  return charge <= terms.capacity || isImpossible(draw) || level.tokens < terms.capacity;
}

function isImpossible({ terms, charge }: Draw): boolean {
  const excess = charge - terms.capacity;
  return excess > 0n && (!terms.oversize || excess > terms.rate * LONGEST_PAYBACK_US);
}

function reasonOf(short: readonly Draw[]): string | null {
  if (short.some(isImpossible)) return "exceeds_capacity";
  return short[0]?.type ?? null;
}

function delayOf({ terms, level }: Draw): bigint {
  if (terms.method !== "leaky_bucket") return 0n;
  return max(ceilDiv(terms.capacity - level.tokens, terms.rate * THOUSAND_US), 0n);
}

function scaled(amount: bigint, factor: bigint): bigint {
  return (amount * factor) / MICRO;
}
