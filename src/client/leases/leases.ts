import type { Amounts } from "./amounts.ts";
import { Lease } from "./lease.ts";

/** Holds nothing: only what costs nothing runs without a lease. */
const none = new Lease(null, 0, 0, Number.POSITIVE_INFINITY);

/** The last part of its life, in which a lease is given up for the next one. */
const lastPart = 0.35;
/** What is settled too late is lost. */
const minimumNoticeMs = 1_000;
/** No lease lives longer. */
const longestLifeMs = 3_600_000;

/**
 * The leases of one application in this process: the current one, the next one where it was
 * taken early, and those that are through but not yet settled.
 */
export class Leases {
  current: Lease = none;
  #next: Lease | undefined;
  /** One that was asked for and not heard of: it may have been granted. */
  #unanswered: { readonly lease: Lease; readonly since: number } | undefined;
  #finished: { readonly lease: Lease; readonly since: number }[] = [];
  #spentBefore = { tokens: 0, bytes: 0 };

  get hasNext(): boolean {
    return this.#next !== undefined;
  }

  /** Whether there is one to spend. */
  get isInHand(): boolean {
    return this.current !== none;
  }

  get isEmpty(): boolean {
    const hasNone = !this.isInHand && this.#next === undefined;
    return hasNone && this.#finished.length === 0 && this.#unanswered === undefined;
  }

  /** The running total of what was spent, for measuring a rate. */
  get spent(): Amounts {
    return {
      tokens: this.#spentBefore.tokens + this.current.spentTokens,
      bytes: this.#spentBefore.bytes + this.current.spentBytes,
    };
  }

  add(lease: Lease, now: number): void {
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

  /** Drops expired leases: the database counts them as spent. */
  dropExpired(now: number): void {
    this.#finished = this.#finished.filter(({ lease }) => lease.expiresAt > now);
    if (this.#next !== undefined && this.#next.expiresAt <= now) this.#next = undefined;
    if (this.current.expiresAt > now) return;
    this.#countSpent(this.current);
    this.current = this.#next ?? none;
    this.#next = undefined;
  }

  /** Whether the current lease ends soon; randomized so that clients do not renew in step. */
  endsSoon(now: number, lifetimeMs: number, random: number): boolean {
    return this.current.expiresAt - now < lifetimeMs * lastPart * (0.6 + 0.4 * random);
  }

  /** Replaces the current lease with the next. */
  advance(now: number): void {
    this.#finishCurrent(now);
    this.current = this.#next ?? none;
    this.#next = undefined;
  }

  /** Charges the leases; answers the rest, which is owed. */
  charge(amounts: Amounts): Amounts {
    let { tokens, bytes } = amounts;
    for (const lease of [this.current, this.#next]) {
      if (lease === undefined) continue;
      const tokensNow = Math.min(tokens, Math.max(lease.tokensLeft, 0));
      const bytesNow = Math.min(bytes, Math.max(lease.bytesLeft, 0));
      lease.take(tokensNow, bytesNow);
      tokens -= tokensNow;
      bytes -= bytesNow;
    }
    return { tokens, bytes };
  }

  /** Credits the leases as far as they were spent. */
  putBack(amounts: Amounts): void {
    let rest = amounts;
    for (const lease of [this.current, ...this.#finished.map((finished) => finished.lease)]) {
      if (lease !== none) rest = lease.putBack(rest.tokens, rest.bytes);
    }
  }

  /** The call that settled it had no answer: it is settled again. */
  keepFinished(lease: Lease, now: number): void {
    if (lease.expiresAt > now) this.#finished.push({ lease, since: now });
  }

  /** The answer to the call that asks for it was lost: it is asked for again under its id. */
  keepUnanswered(id: string, now: number): void {
    this.#unanswered = { lease: new Lease(id, 0, 0, now + longestLifeMs), since: now };
  }

  /** The id of a lease that may have been granted, to be asked for again. */
  takeUnanswered(): string | undefined {
    const id = this.#unanswered?.lease.id ?? undefined;
    this.#unanswered = undefined;
    return id;
  }

  /** A finished lease, to be settled with the renewal. */
  takeFinished(): Lease | undefined {
    return this.#finished.pop()?.lease;
  }

  /**
   * Finished leases that no renewal has settled in time, and one that none has asked for again.
   * Empty ones are settled too: open leases count against the application's capacity.
   */
  takeStale(now: number, ageMs: number): Lease[] {
    const isStale = ({ lease, since }: { lease: Lease; since: number }) =>
      now - since >= ageMs || lease.expiresAt - now < minimumNoticeMs;
    const unanswered = this.#unanswered === undefined ? [] : [this.#unanswered];
    const stale = [...this.#finished, ...unanswered].filter(isStale);
    this.#finished = this.#finished.filter((finished) => !isStale(finished));
    if (unanswered.some(isStale)) this.#unanswered = undefined;
    return stale.map(({ lease }) => lease);
  }

  /** Removes and answers all leases, to be settled. */
  takeAll(): Lease[] {
    const finished = this.#finished.map(({ lease }) => lease);
    const all = [this.current, this.#next, ...finished, this.#unanswered?.lease];
    this.#countSpent(this.current);
    this.current = none;
    this.#next = undefined;
    this.#finished = [];
    this.#unanswered = undefined;
    return all.filter((lease) => lease !== undefined).filter((lease) => lease.id !== null);
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
}
