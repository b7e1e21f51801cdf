import { randomUUID } from "node:crypto";
import type { ConfigCache } from "../config/config-cache.ts";
import { decimalOf } from "../costs/amount.ts";
import { type Need, noNeed } from "../decisions/need.ts";
import type { DenialReporter } from "../denials/denial-reporter.ts";
import {
  BusyError,
  ClosedError,
  ConflictError,
  deniesApplication,
  GoneError,
  InvalidRequestError,
  type LimiterError,
  UnavailableError,
} from "../errors.ts";
import type { DenialRow } from "../store/exchange-leases.ts";
import type { Store } from "../store/store.ts";
import { HolderCount } from "./holder-count.ts";
import { Lease, type LeaseGrant } from "./lease.ts";
import type { LeaseExchange } from "./lease-exchange.ts";
import { LeaseSize } from "./lease-size.ts";
import { Leases } from "./leases.ts";
import type { OwedCharger } from "./owed-charger.ts";

const shortestPauseMs = 100;
/** Retry interval where no lease can be granted. A change notification resets it. */
const neverPauseMs = 5_000;
/** What was too dear may be long in coming: something cheaper is asked for after this time. */
const longestCheaperPauseMs = 1_000;
const staleAfterMs = 500;
const longestTimerMs = 2 ** 31 - 1;

interface Amounts {
  readonly tokens: number;
  readonly bytes: number;
}

export interface LeaseKeeperOptions {
  readonly store: Store;
  readonly exchange: LeaseExchange;
  readonly cache: ConfigCache;
  readonly denials: DenialReporter;
  readonly owed: OwedCharger;
  readonly pollMs: () => number;
  /** The current lease changed. */
  readonly onLease: () => void;
  /** A lease was granted. */
  readonly onGrant: () => void;
  /** A lease has to be settled again. */
  readonly onUnsettled: () => void;
}

/** Takes, renews and settles the leases of one application. */
export class LeaseKeeper {
  readonly leases = new Leases();
  readonly #options: LeaseKeeperOptions;
  readonly #store: Store;
  readonly #cache: ConfigCache;
  readonly #holders = new HolderCount();
  readonly #tokenSize: LeaseSize;
  readonly #byteSize: LeaseSize;
  #isClosed = false;
  /** Nothing is to be kept of a renewal under way: its application was let go. */
  #isLetGo = false;
  #isLimited = { tokens: true, bytes: true };
  #usual = noNeed;
  #waiting = { requests: 0, tokens: 0, bytes: 0 };
  #measured = { tokens: 0, bytes: 0 };
  #lifetimeMs = 10_000;
  #nextLeaseAt = 0;
  /** When a much cheaper operation than this one is worth another call. */
  #cheaperAt = 0;
  #shortOf = noNeed;
  #renewal: Promise<void> | undefined;
  readonly #settling = new Set<Promise<void>>();
  #endTimer: NodeJS.Timeout | undefined;

  constructor(options: LeaseKeeperOptions) {
    const now = performance.now();
    this.#options = options;
    this.#store = options.store;
    this.#cache = options.cache;
    this.#tokenSize = new LeaseSize(now);
    this.#byteSize = new LeaseSize(now);
  }

  /** Clients that held leases of late, this one included. */
  holders(now: number): number {
    return this.#holders.at(now);
  }

  get isRenewing(): boolean {
    return this.#renewal !== undefined;
  }

  /** The operation that is typical for the size of the next lease. */
  set usual(need: Need) {
    this.#usual = need;
  }

  retryAfterMs(now: number): number {
    return Math.max(Math.ceil(this.#nextLeaseAt - now), 1);
  }

  /** Whether the buckets were short of the usual operation, or of a cheaper one, and still are. */
  isShort(now: number): boolean {
    if (now >= this.#nextLeaseAt) return false;
    return now < this.#cheaperAt || !isMuchCheaper(this.#usual, this.#shortOf);
  }

  /** Quotas changed: ask again at once. */
  forgetPause(): void {
    this.#nextLeaseAt = 0;
  }

  renewEarly(): void {
    this.leases.current.neverRenew();
    if (!this.leases.hasNext) this.renewInBackground();
  }

  renewInBackground(now = performance.now()): void {
    if (this.#renewal === undefined && !this.isShort(now)) void this.renew();
  }

  /** At most one renewal runs at a time. Never rejects. */
  renew(): Promise<void> {
    this.#isLetGo = false;
    this.#renewal ??= this.#renewOnce().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  /** Renews with the need of a request that waits for it. */
  async renewFor(need: Need | undefined): Promise<void> {
    const tokens = Number.isFinite(need?.tokens) ? (need?.tokens ?? 0) : 0;
    const bytes = need?.bytes ?? 0;
    this.#waiting.requests += 1;
    this.#waiting.tokens += tokens;
    this.#waiting.bytes += bytes;
    await this.renew();
    this.#waiting.requests -= 1;
    this.#waiting.tokens -= tokens;
    this.#waiting.bytes -= bytes;
  }

  tick(now: number): void {
    if (this.leases.endsSoon(now, this.#lifetimeMs, Math.random())) this.#moveOn(now);
    this.#settleStale(now);
  }

  /** Settles all leases. */
  async handBack(): Promise<void> {
    const leases = this.leases.takeAll();
    this.#options.onLease();
    this.#measured = this.leases.spent;
    const now = performance.now();
    this.#tokenSize.forget(now);
    this.#byteSize.forget(now);
    for (const lease of leases) void this.#settle(lease);
    await Promise.all(this.#settling);
  }

  /** Settles all leases, and the one that a renewal under way brings, unless it is used again. */
  async letGo(): Promise<void> {
    this.#isLetGo = this.#waiting.requests === 0;
    await this.handBack();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#renewal;
  }

  #moveOn(now: number): void {
    if (!this.leases.hasNext) {
      this.renewEarly();
      return;
    }
    this.leases.advance(now);
    this.#options.onLease();
  }

  async #renewOnce(): Promise<void> {
    // Yield once so that concurrent callers' needs are included.
    await Promise.resolve();
    const now = performance.now();
    if (this.#isClosed || this.#store.isPaused(now)) return;
    const isOld = this.#cache.isOlderThan(this.#options.pollMs(), now);
    if (this.#cache.config === undefined || isOld) await this.#cache.refresh();
    const { config, error } = this.#cache;
    if (config === undefined || error !== undefined || config.limits.isDirect) return;
    await this.#options.owed.chargeAll();
    await this.#takeLease(config.application);
  }

  async #takeLease(application: string): Promise<void> {
    const askedAt = performance.now();
    const asked = this.#amountsToAsk(askedAt);
    try {
      const grant = await this.#options.denials.carriedBy((denials) =>
        this.#ask(application, asked, denials),
      );
      this.#isLimited = { tokens: grant.is_limited_tokens, bytes: grant.is_limited_bytes };
      this.#holders.see(grant.holders, performance.now());
      this.#lifetimeMs = Number(grant.lifetime_ms);
      this.#keep(Lease.of(grant, askedAt), asked, grant.retry_after_ms);
    } catch (error) {
      const typed = error as LimiterError;
      if (typed instanceof BusyError) this.#pause(performance.now(), shortestPauseMs);
      if (deniesApplication(typed)) await this.#cache.reject(typed);
    }
  }

  #ask(
    application: string,
    asked: Amounts,
    denials: readonly DenialRow[] | null,
  ): Promise<LeaseGrant> {
    const finished = this.leases.takeFinished();
    const unanswered = this.leases.takeUnanswered();
    const leaseId = unanswered ?? randomUUID();
    const granted = this.#options.exchange.renew({
      application,
      leaseId,
      spent: finished?.id == null ? undefined : { ...finished.spent, id: finished.id },
      tokens: decimalOf(asked.tokens),
      bytes: String(asked.bytes),
      denials,
    });
    granted.catch((error) => {
      if (finished !== undefined) this.#keepUnsettled(finished, error);
      if (mayBeGranted(error, unanswered !== undefined)) this.#keepUnanswered(leaseId);
    });
    return granted;
  }

  /** Until it is asked for again or settled, nothing can be spent of what it may hold. */
  #keepUnanswered(leaseId: string): void {
    this.leases.keepUnanswered(leaseId, performance.now());
    this.#options.onUnsettled();
  }

  #amountsToAsk(now: number): Amounts {
    const { spent } = this.leases;
    this.#tokenSize.measure(Math.max(spent.tokens - this.#measured.tokens, 0), now);
    this.#byteSize.measure(Math.max(spent.bytes - this.#measured.bytes, 0), now);
    this.#measured = spent;
    const { tokens, bytes } = this.#usual;
    const { leasableTokens = 0, leasableBytes = 0 } = this.#cache.config?.limits ?? {};
    // At most three leases are open: a finished one, the current one and the next one.
    const share = 1 / (2.5 * Math.max(this.#holders.now, 2));
    const mostTokens = leasableTokens * 1_000_000 * share;
    const mostBytes = leasableBytes * share;
    return {
      tokens: this.#isLimited.tokens
        ? this.#tokenSize.next(tokens, this.#waiting.tokens, mostTokens)
        : 0,
      bytes: this.#isLimited.bytes ? this.#byteSize.next(bytes, this.#waiting.bytes, mostBytes) : 0,
    };
  }

  #keep(lease: Lease, asked: Amounts, retryAfterMs: string | null): void {
    const now = performance.now();
    const pause = pauseOf(lease, asked, retryAfterMs);
    this.#pause(now, pause * (1 + 0.2 * Math.random()));
    const { config, error } = this.#cache;
    if (error !== undefined || this.#isLetGo || config?.limits.isDirect) {
      void this.#settle(lease);
      return;
    }
    if (pause === 0) lease.renewAtHalf(Math.random());
    if (lease.id !== null || lease.tokensLeft > 0 || lease.bytesLeft > 0) {
      this.leases.add(lease, now);
      // Pay what is owed before anything else.
      this.#options.owed.add(this.leases.charge(this.#options.owed.take()));
      this.#options.onLease();
      this.#watchEnd(now);
      this.#settleStale(now);
      this.#options.onGrant();
    }
  }

  #pause(now: number, ms: number): void {
    this.#nextLeaseAt = now + ms;
    this.#cheaperAt = now + Math.min(ms, longestCheaperPauseMs);
    this.#shortOf = this.#usual;
  }

  /** At the end of the current lease the next check reads the clock. */
  #watchEnd(now: number): void {
    const ms = this.leases.current.expiresAt - now;
    if (this.#isClosed || this.#endTimer !== undefined || !(ms > 0 && ms < longestTimerMs)) return;
    this.#endTimer = setTimeout(() => {
      this.#endTimer = undefined;
      this.#options.onLease();
      this.#watchEnd(performance.now());
    }, Math.ceil(ms)).unref();
  }

  #settleStale(now: number): void {
    if (this.#store.isPaused(now)) return;
    for (const lease of this.leases.takeStale(now, staleAfterMs)) void this.#settle(lease);
  }

  /** To settle a lease again is safe: once it is settled, nothing changes. */
  #keepUnsettled(lease: Lease, error: unknown): void {
    if (error instanceof InvalidRequestError || error instanceof ClosedError) return;
    if (deniesApplication(error as LimiterError)) return;
    this.leases.keepFinished(lease, performance.now());
    this.#options.onUnsettled();
  }

  /** Never rejects: an unsettled lease is settled again until it expires, and then counts as spent. */
  #settle(lease: Lease): Promise<void> {
    const settling = this.#settleOnce(lease).finally(() => this.#settling.delete(settling));
    this.#settling.add(settling);
    return settling;
  }

  async #settleOnce(lease: Lease): Promise<void> {
    const { application } = this.#cache;
    const { id, spent } = lease;
    if (application === undefined || id === null) return;
    await this.#options.denials
      .carriedBy((denials) => this.#options.exchange.settle(application, { ...spent, id }, denials))
      .catch((error) => this.#keepUnsettled(lease, error));
  }
}

/** Whether there may be a lease under the id of a call that failed. */
function mayBeGranted(error: unknown, wasUnanswered: boolean): boolean {
  if (error instanceof UnavailableError) return true;
  return wasUnanswered && !(error instanceof ConflictError || error instanceof GoneError);
}

function isMuchCheaper(need: Need, than: Need): boolean {
  return isHalf(need.tokens, than.tokens) || isHalf(need.bytes, than.bytes);
}

function isHalf(amount: number, of: number): boolean {
  return of > 0 && amount * 2 <= of;
}

/** How long to wait before asking again after a grant of less than was asked for. */
function pauseOf(lease: Lease, asked: Amounts, retryAfterMs: string | null): number {
  if (lease.tokens >= asked.tokens && lease.bytes >= asked.bytes) return 0;
  const isEmpty = lease.id === null;
  if (retryAfterMs === null) return isEmpty ? neverPauseMs : shortestPauseMs;
  // The buckets have enough: the cap on what open leases hold together was the limit.
  const isMost = lease.tokens * 2 >= asked.tokens && lease.bytes * 2 >= asked.bytes;
  if (retryAfterMs === "0" && isMost) return 0;
  return Math.max(Number(retryAfterMs), shortestPauseMs);
}
