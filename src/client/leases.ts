import { Lease } from "./lease.ts";

/** Holds nothing: only what costs nothing runs without a lease. */
const none = new Lease(null, 0, 0, Number.POSITIVE_INFINITY);

/** The last part of its life, in which a lease is given up for the next one. */
const lastPart = 0.35;
/** What is settled too late is lost. */
const shortestNoticeMs = 1_000;

/**
 * The leases of one application in this process: the current one, the next one where it was
 * taken early, and those that are through but not yet settled.
 */
export class Leases {
  current: Lease = none;
  #next: Lease | undefined;
  #finished: { readonly lease: Lease; readonly since: number }[] = [];
  #spentBefore = { tokens: 0, bytes: 0 };
  /** Charged without being there: the next lease pays for it. */
  #debt = { tokens: 0, bytes: 0 };

  get hasNext(): boolean {
    return this.#next !== undefined;
  }

  get isEmpty(): boolean {
    return this.current === none && this.#next === undefined && this.#finished.length === 0;
  }

  get debt(): { readonly tokens: number; readonly bytes: number } {
    return this.#debt;
  }

  /** Everything that was ever spent, for measuring a rate. */
  get spent(): { readonly tokens: number; readonly bytes: number } {
    return {
      tokens: this.#spentBefore.tokens + this.current.spentTokens,
      bytes: this.#spentBefore.bytes + this.current.spentBytes,
    };
  }

  add(lease: Lease, now: number): void {
    this.#payDebt(lease);
    const lifeLeft = this.current.expiresAt - now;
    const isUsedUp = this.current.tokensLeft <= 0 && this.current.bytesLeft <= 0;
    const isThrough = isUsedUp || lifeLeft < (lease.expiresAt - now) * lastPart;
    if (this.current !== none && !isThrough && this.#next === undefined) {
      this.#next = lease;
      return;
    }
    this.#finishCurrent(now);
    this.current = this.#next ?? lease;
    this.#next = this.#next === undefined ? undefined : lease;
  }

  /** The lease that can pay, which becomes the current one. */
  find(tokens: number, bytes: number, now: number): Lease | undefined {
    if (this.current.holds(tokens, bytes)) return this.current;
    if (this.#next === undefined || !this.#next.holds(tokens, bytes)) return undefined;
    this.advance(now);
    return this.current;
  }

  /** What expired counts as spent: the database no longer waits for it. */
  dropExpired(now: number): void {
    this.#finished = this.#finished.filter(({ lease }) => lease.expiresAt > now);
    if (this.#next !== undefined && this.#next.expiresAt <= now) this.#next = undefined;
    if (this.current.expiresAt > now) return;
    this.#countSpent(this.current);
    this.current = this.#next ?? none;
    this.#next = undefined;
  }

  /** Whether the current one ends soon; not for all clients at the same part of its life. */
  endsSoon(now: number, lifetimeMs: number, random: number): boolean {
    return this.current.expiresAt - now < lifetimeMs * lastPart * (0.6 + 0.4 * random);
  }

  /** Gives the current one up for the next. */
  advance(now: number): void {
    this.#finishCurrent(now);
    this.current = this.#next ?? none;
    this.#next = undefined;
  }

  /** Charges a difference: from what is there, the rest as a debt. */
  charge(tokens: number, bytes: number): void {
    const tokensNow = Math.min(tokens, Math.max(this.current.tokensLeft, 0));
    const bytesNow = Math.min(bytes, Math.max(this.current.bytesLeft, 0));
    this.current.take(tokensNow, bytesNow);
    this.#debt.tokens += tokens - tokensNow;
    this.#debt.bytes += bytes - bytesNow;
  }

  /** Gives back: first what is owed, then into the leases as far as they were spent. */
  putBack(tokens: number, bytes: number): void {
    const owedTokens = Math.min(tokens, this.#debt.tokens);
    const owedBytes = Math.min(bytes, this.#debt.bytes);
    this.#debt.tokens -= owedTokens;
    this.#debt.bytes -= owedBytes;
    let rest = { tokens: tokens - owedTokens, bytes: bytes - owedBytes };
    for (const lease of [this.current, ...this.#finished.map((finished) => finished.lease)]) {
      if (lease !== none) rest = lease.putBack(rest.tokens, rest.bytes);
    }
  }

  /** A finished lease to settle in passing, with the renewal. */
  takeFinished(): Lease | undefined {
    return this.#finished.pop()?.lease;
  }

  /** Finished ones that still hold something which others could use. */
  takeStale(now: number, ageMs: number): Lease[] {
    const isStale = ({ lease, since }: { lease: Lease; since: number }) =>
      lease.hasLeftOver && (now - since >= ageMs || lease.expiresAt - now < shortestNoticeMs);
    const stale = this.#finished.filter(isStale);
    this.#finished = this.#finished.filter((finished) => !isStale(finished));
    return stale.map(({ lease }) => lease);
  }

  /** Everything, to be settled: nothing is left here. */
  takeAll(): Lease[] {
    const all = [this.current, this.#next, ...this.#finished.map(({ lease }) => lease)];
    this.#countSpent(this.current);
    this.current = none;
    this.#next = undefined;
    this.#finished = [];
    return all.filter((lease) => lease !== undefined).filter((lease) => lease.hasLeftOver);
  }

  #finishCurrent(now: number): void {
    if (this.current === none) return;
    this.#countSpent(this.current);
    if (this.current.id !== null) this.#finished.push({ lease: this.current, since: now });
    this.current = none;
  }

  #countSpent(lease: Lease): void {
    this.#spentBefore.tokens += lease.spentTokens;
    this.#spentBefore.bytes += lease.spentBytes;
  }

  #payDebt(lease: Lease): void {
    const tokens = Math.min(this.#debt.tokens, lease.tokensLeft);
    const bytes = Math.min(this.#debt.bytes, lease.bytesLeft);
    lease.take(tokens, bytes);
    this.#debt.tokens -= tokens;
    this.#debt.bytes -= bytes;
  }
}
