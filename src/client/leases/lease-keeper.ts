import { randomUUID } from "node:crypto";
import type { ConfigCache } from "../config/config-cache.ts";
import { decimalOf } from "../costs/amount.ts";
import type { Need } from "../decisions/need.ts";
import type { CountReporter } from "../demand/count-reporter.ts";
import {
  BusyError,
  ConflictError,
  deniesApplication,
  GoneError,
  type LimiterError,
  UnavailableError,
} from "../errors.ts";
import type { Counts } from "../store/exchange-leases.ts";
import type { Store } from "../store/store.ts";
import type { Amounts } from "./amounts.ts";
import type { Layer3 } from "./layer3.ts";
import { Lease, type LeaseGrant } from "./lease.ts";
import { LeaseDemand } from "./lease-demand.ts";
import type { LeaseExchange } from "./lease-exchange.ts";
import type { OwedCharger } from "./owed-charger.ts";
import type { Settler } from "./settler.ts";
import { pauseOf, Shortage } from "./shortage.ts";

const longestTimerMs = 2 ** 31 - 1;

export interface LeaseKeeperOptions {
  readonly store: Store;
  readonly exchange: LeaseExchange;
  readonly cache: ConfigCache;
  readonly counts: CountReporter;
  readonly owed: OwedCharger;
  readonly layer3: Layer3;
  readonly settler: Settler;
  readonly pollMs: () => number;
  /** The current lease changed. */
  readonly onLease: () => void;
  /** A lease was granted. */
  readonly onGrant: () => void;
  /** A lease has to be settled again. */
  readonly onUnsettled: () => void;
}

/** Takes and renews the leases of one application, and hands them to be settled. */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  readonly #layer3: Layer3;
  readonly #demand: LeaseDemand;
  readonly #shortage = new Shortage();
  #lifetimeMs = 10_000;
  #renewal: Promise<void> | undefined;
  #endTimer: NodeJS.Timeout | undefined;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
    this.#layer3 = options.layer3;
    this.#demand = new LeaseDemand(performance.now());
  }

  /** Clients that held leases of late, this one included. */
  holders(now: number): number {
    return this.#demand.holders(now);
  }

  /** The operation that is typical for the size of the next lease. */
  set usual(need: Need) {
    this.#demand.usual = need;
  }

  retryAfterMs(now: number): number {
    return this.#shortage.retryAfterMs(now);
  }

  /** Whether the buckets were short of the usual operation, or of a cheaper one, and still are. */
  isShort(now: number): boolean {
    return this.#shortage.isOf(this.#demand.usual, now);
  }

  /** Quotas changed: ask again at once. */
  forgetPause(): void {
    this.#shortage.forget();
  }

  renewEarly(): void {
    const { leases } = this.#layer3;
    leases.current.neverRenew();
    if (!leases.hasNext) this.renewInBackground();
  }

  renewInBackground(now = performance.now()): void {
    if (!this.isShort(now)) void this.renew();
  }

  /** At most one renewal runs at a time. Never rejects. */
  renew(): Promise<void> {
    this.#layer3.ask();
    this.#renewal ??= this.#renewOnce().finally(() => {
      this.#renewal = undefined;
      this.#layer3.answer();
    });
    return this.#renewal;
  }

  /** Renews with the need of a request that waits for it. */
  renewFor(need: Need | undefined): Promise<void> {
    return this.#demand.waitFor(need, () => this.renew());
  }

  tick(now: number): void {
    if (this.#layer3.leases.endsSoon(now, this.#lifetimeMs, Math.random())) this.#moveOn(now);
    this.#options.settler.settleStale(now);
  }

  /** Settles all leases. */
  async handBack(): Promise<void> {
    const leases = this.#layer3.return();
    this.#options.onLease();
    this.#demand.forget(this.#layer3.leases.spent, performance.now());
    await this.#options.settler.settleAll(leases);
  }

  /** Settles all leases, and the one that a renewal under way brings, unless it is used again. */
  async letGo(): Promise<void> {
    if (!this.#demand.isWaitedFor) this.#layer3.doNotKeep();
    await this.handBack();
  }

  /** Resolves when no renewal is under way. */
  async idle(): Promise<void> {
    await this.#renewal;
  }

  #moveOn(now: number): void {
    const { leases } = this.#layer3;
    if (!leases.hasNext) {
      this.renewEarly();
      return;
    }
    leases.advance(now);
    this.#options.onLease();
  }

  async #renewOnce(): Promise<void> {
    // Yield once so that concurrent callers' needs are included.
    await Promise.resolve();
    const { cache, owed, pollMs, store } = this.#options;
    const now = performance.now();
    if (this.#layer3.isClosed || store.isPaused(now)) return;
    const isOld = cache.isOlderThan(pollMs(), now);
    if (cache.config === undefined || isOld) await cache.refresh();
    const { config, error } = cache;
    if (config === undefined || error !== undefined || config.limits.isDirect) return;
    await owed.chargeAll();
    await this.#takeLease(config.application);
  }

  async #takeLease(application: string): Promise<void> {
    const { cache, counts } = this.#options;
    const askedAt = performance.now();
    const asked = this.#demand.next(this.#layer3.leases.spent, cache.config?.limits, askedAt);
    try {
      const grant = await counts.carriedBy((rows) => this.#ask(application, asked, rows));
      this.#demand.see(grant, performance.now());
      this.#lifetimeMs = Number(grant.lifetime_ms);
      this.#keep(Lease.of(grant, askedAt), asked, grant.retry_after_ms);
    } catch (error) {
      const typed = error as LimiterError;
      if (typed instanceof BusyError) {
        this.#shortage.noteBusy(this.#demand.usual, performance.now());
      }
      if (deniesApplication(typed)) await cache.reject(typed);
    }
  }

  #ask(application: string, asked: Amounts, counts: Counts): Promise<LeaseGrant> {
    const { leases } = this.#layer3;
    const finished = leases.takeFinished();
    const unanswered = leases.takeUnanswered();
    const leaseId = unanswered ?? randomUUID();
    const granted = this.#options.exchange.renew({
      application,
      leaseId,
      spent: finished?.id == null ? undefined : { ...finished.spent, id: finished.id },
      tokens: decimalOf(asked.tokens),
      bytes: String(asked.bytes),
      counts,
    });
    granted.catch((error) => {
      if (finished !== undefined) this.#options.settler.keepUnsettled(finished, error);
      if (mayBeGranted(error, unanswered !== undefined)) this.#keepUnanswered(leaseId);
    });
    return granted;
  }

  /** Until it is asked for again or settled, nothing can be spent of what it may hold. */
  #keepUnanswered(leaseId: string): void {
    this.#layer3.leases.keepUnanswered(leaseId, performance.now());
    this.#options.onUnsettled();
  }

  #keep(lease: Lease, asked: Amounts, retryAfterMs: string | null): void {
    const now = performance.now();
    const pause = pauseOf(lease, asked, retryAfterMs);
    this.#shortage.note(this.#demand.usual, pause * (1 + 0.2 * Math.random()), now);
    if (pause === 0) lease.renewAtHalf(Math.random());
    const { config, error } = this.#options.cache;
    const isUsable = error === undefined && !config?.limits.isDirect;
    const holdsNothing = lease.id === null && lease.tokensLeft <= 0 && lease.bytesLeft <= 0;
    if (isUsable && holdsNothing) return;
    if (isUsable && this.#layer3.grant(lease, now)) this.#use(now);
    else void this.#options.settler.settle(lease);
  }

  #use(now: number): void {
    const { owed, settler, onGrant, onLease } = this.#options;
    // Pay what is owed before anything else.
    owed.add(this.#layer3.leases.charge(owed.take()));
    onLease();
    this.#watchEnd(now);
    settler.settleStale(now);
    onGrant();
  }

  /** At the end of the current lease the next check reads the clock. */
  #watchEnd(now: number): void {
    const ms = this.#layer3.leases.current.expiresAt - now;
    if (this.#layer3.isClosed || this.#endTimer !== undefined) return;
    if (!(ms > 0 && ms < longestTimerMs)) return;
    this.#endTimer = setTimeout(() => {
      this.#endTimer = undefined;
      this.#options.onLease();
      this.#watchEnd(performance.now());
    }, Math.ceil(ms)).unref();
  }
}

/** Whether there may be a lease under the id of a call that failed. */
function mayBeGranted(error: unknown, wasUnanswered: boolean): boolean {
  if (error instanceof UnavailableError) return true;
  return wasUnanswered && !(error instanceof ConflictError || error instanceof GoneError);
}
