import { setTimeout as sleep } from "node:timers/promises";
import type { ApplicationName } from "./config/application-config.ts";
import { ConfigCache } from "./config/config-cache.ts";
import type { ConfigLoader } from "./config/config-loader.ts";
import { areSame, type Limits } from "./config/limits.ts";
import { OperationCost } from "./costs/operation-cost.ts";
import { type AcquireOptions, acquire, type Sleep } from "./decisions/acquire.ts";
import { Admission, type Standing } from "./decisions/admission.ts";
import { type Decision, denial } from "./decisions/decision.ts";
import { type Need, noNeed } from "./decisions/need.ts";
import { inactiveOperation, unknownOperation } from "./decisions/operation-errors.ts";
import { RequestCoalescer } from "./decisions/request-coalescer.ts";
import { requireSize } from "./decisions/require-size.ts";
import { standingOf } from "./decisions/standing.ts";
import { DenialReporter } from "./denials/denial-reporter.ts";
import { RecentDenials } from "./denials/denials.ts";
import { BusyError, ClosedError, UnavailableError, unavailable } from "./errors.ts";
import type { Balance } from "./leases/lease.ts";
import type { LeaseExchange } from "./leases/lease-exchange.ts";
import { LeaseKeeper } from "./leases/lease-keeper.ts";
import { type LeasedOperation, LeasedOperations } from "./leases/leased-operations.ts";
import { OwedCharger } from "./leases/owed-charger.ts";
import { RareUse } from "./leases/rare-use.ts";
import { type OutagePolicy, OutageRules, type SharedLimits } from "./outage.ts";
import type { ApplicationStatus } from "./status.ts";
import { refund } from "./store/refund.ts";
import { type Settlement, settle } from "./store/settle.ts";
import type { Store } from "./store/store.ts";
import { abortable, throwIfAborted } from "./waiting/abortable.ts";
import { Pauses } from "./waiting/pauses.ts";

/** Reading the clock costs more than the rest of a check, so it is read once per this many. */
const checksPerClock = 64;
/** Closer to its end a lease is spent with a look at the clock each time. */
const clockMarginMs = 100;
const busyPauseMs = 100;
/** On close(), while another call tries whether an outage is over. */
const retryMs = 20;
const mostTries = 3;

const noCosts: ReadonlyMap<string, OperationCost> = new Map();

/** What all applications of a process share. */
export interface SharedParts {
  readonly store: Store;
  readonly loader: ConfigLoader;
  readonly exchange: LeaseExchange;
}

export interface ApplicationOptions {
  readonly idleMs: number;
  readonly outage: OutagePolicy;
  /** The current polling interval for changes. */
  readonly pollMs: () => number;
  /** Called when it holds state that needs tick() and change notifications. */
  readonly onUse: (limiter: ApplicationLimiter) => void;
  /** Called with each admission without a charge. */
  readonly onUncharged: () => void;
  /** Called with each decision that is not an admission on the fast path of check(). */
  readonly onDecision: ((decision: Decision, operation: string) => void) | undefined;
}

export interface CheckOptions {
  readonly reference?: string;
  readonly signal?: AbortSignal;
}

/** Decides for one application: from a lease if it can pay, else by asking the database. */
export class ApplicationLimiter {
  readonly #store: Store;
  readonly #options: ApplicationOptions;
  readonly #cache: ConfigCache;
  readonly #coalescer: RequestCoalescer;
  readonly #recent = new RecentDenials();
  readonly #denials: DenialReporter;
  readonly #outage: OutageRules;
  readonly #keeper: LeaseKeeper;
  readonly #owed: OwedCharger;
  readonly #admission: Admission;
  readonly #leased: LeasedOperations;
  readonly #rare = new RareUse();

  // State of the fast path of check().
  #costs: ReadonlyMap<string, OperationCost> = noCosts;
  #balance: Balance;
  /** The last operation and its cost. */
  #operation: string | undefined;
  #cost = OperationCost.unknown;
  #checksUntilClock = 0;

  /** Excludes the checks since the clock was read. */
  #allowed = 0;
  #checksAtClock = 0;
  #isClockDue = false;

  #denied = 0;
  #uncharged = 0;
  #isClosed = false;
  #usedAt = 0;
  #allowedBefore = 0;
  #allowedAtReturn = 0;
  readonly #pauses = new Pauses();
  readonly #sleep: Sleep = (ms, { signal }) => this.#pauses.sleep(ms, signal);
  readonly #readClockAgain = () => {
    this.#isClockDue = false;
    this.#countChecks(0);
  };

  constructor(
    { store, loader, exchange }: SharedParts,
    name: ApplicationName,
    options: ApplicationOptions,
  ) {
    this.#store = store;
    this.#options = options;
    this.#cache = new ConfigCache(store, loader, name, {
      read: (before) => this.#noteConfig(before?.limits),
      rejected: () => this.#stop(),
    });
    this.#coalescer = new RequestCoalescer(store);
    this.#outage = new OutageRules(options.outage);
    this.#denials = new DenialReporter(store, exchange, () => this.#cache.application);
    this.#owed = new OwedCharger(store, exchange, () => this.#cache.application);
    this.#keeper = new LeaseKeeper({
      store,
      exchange,
      cache: this.#cache,
      denials: this.#denials,
      owed: this.#owed,
      pollMs: options.pollMs,
      onLease: () => this.#noteLease(),
      onGrant: () => this.#noteGrant(),
      onUnsettled: () => options.onUse(this),
    });
    this.#leased = new LeasedOperations({
      leases: this.#keeper.leases,
      owed: this.#owed,
      needOf: (operation, size) => this.#needOf(operation, size),
      whenKnown: (work) => this.#whenKnown(work),
      onOwed: () => options.onUse(this),
    });
    this.#balance = this.#keeper.leases.current.balance;
    this.#usedAt = performance.now();
    this.#admission = new Admission(() => this.#standing());
  }

  /**
   * Decides synchronously, without the database. Reason `no_lease`: this process holds no lease
   * that can pay; one is being fetched, and checkAsync waits for it. All admissions from a lease
   * are one shared object whose `remaining` is evaluated on read. `sizeBytes` is null where the
   * size is not known yet; settleLeased charges it later.
   */
  check(operation: string, sizeBytes: number | null = 0): Decision {
    if (sizeBytes === null)
      return this.#report(this.#checkSlowly(operation, null, true), operation);
    const cost = operation === this.#operation ? this.#cost : this.#costOf(operation);
    const tokens = sizeBytes === cost.knownSize ? cost.knownCost : cost.quickly(sizeBytes);
    const balance = this.#balance;
    if (tokens <= balance[0] && sizeBytes <= balance[1] && this.#checksUntilClock > 0) {
      this.#checksUntilClock -= 1;
      balance[0] -= tokens;
      balance[1] -= sizeBytes;
      if (balance[0] < balance[2] || balance[1] < balance[3]) this.#keeper.renewEarly();
      return this.#admission;
    }
    return this.#report(this.#checkSlowly(operation, sizeBytes, true), operation);
  }

  /**
   * Decides, and waits for the database where no lease can pay. With a `reference` the database
   * decides and records the charge: a retry is not charged again, and settle and refund find it.
   * `signal` ends the wait; the charge may be made nevertheless.
   */
  async checkAsync(
    operation: string,
    sizeBytes: number | null = 0,
    { reference, signal }: CheckOptions = {},
  ): Promise<Decision> {
    throwIfAborted(signal);
    const decision = await abortable(this.#decide(operation, sizeBytes, reference ?? null), signal);
    return this.#report(decision, operation);
  }

  /**
   * Waits until the operation is admitted, or until waiting is useless: for an operation that is
   * never admitted, or longer than `maxWaitMs`. Answers the last decision. Waits for `delayMs` too.
   */
  acquire(
    operation: string,
    sizeBytes: number | null = 0,
    options: AcquireOptions = {},
  ): Promise<Decision> {
    return acquire(() => this.checkAsync(operation, sizeBytes, options), options, this.#sleep);
  }

  /** Charges or credits the difference to the actual size of a referenced operation, once. */
  async settle(reference: string, actualSize: number): Promise<Settlement> {
    const { application } = await this.#knownConfig();
    return this.#store.charge(
      (sql) => settle(sql, application, reference, actualSize),
      ({ settled }) => settled,
    );
  }

  /** Credits the whole charge of a referenced operation. Answers whether this call did it. */
  async refund(reference: string): Promise<boolean> {
    const { application } = await this.#knownConfig();
    return this.#store.charge(
      (sql) => refund(sql, application, reference),
      (isRefunded) => isRefunded,
    );
  }

  /**
   * The same for an operation that was charged to a lease: the difference is taken from the lease
   * at once, and what the lease does not hold is owed and charged in the database shortly after.
   */
  settleLeased(leased: LeasedOperation, actualSize: number): void {
    this.#leased.settle(leased, actualSize);
  }

  refundLeased(leased: LeasedOperation): void {
    this.#leased.refund(leased);
  }

  /** Resolves when costs and limits are known; rejects where they cannot be read. */
  async ready(): Promise<void> {
    await this.#knownConfig();
  }

  status(): ApplicationStatus {
    const now = performance.now();
    const { current } = this.#keeper.leases;
    const owed = this.#owed.amounts;
    return {
      state: this.#state(),
      application: this.#cache.application,
      lease: {
        tokens: Math.max(current.tokensLeft, 0) / 1_000_000,
        bytes: Math.max(current.bytesLeft, 0),
        expiresInMs: Number.isFinite(current.expiresAt) ? current.expiresAt - now : 0,
      },
      owed: { tokens: owed.tokens / 1_000_000, bytes: owed.bytes },
      holders: this.#keeper.holders(now),
      decidedByDatabase: this.#cache.config?.limits.isDirect ?? false,
      allowed: this.#allowed + this.#checksAtClock - this.#checksUntilClock,
      denied: this.#denied,
      uncharged: this.#uncharged,
      lastError: this.#cache.error ?? this.#store.status.lastError,
    };
  }

  /** Reads key, costs and limits again. A change notified meanwhile triggers another read. */
  refresh(): Promise<void> {
    return this.#cache.refresh();
  }

  /** Quotas changed: returns what was leased under the old ones and reads the new ones. */
  async reloadConfig(): Promise<void> {
    if (this.#isClosed) return;
    this.#recent.clear();
    this.#keeper.forgetPause();
    await Promise.all([this.handBack(), this.#cache.refresh()]);
    if (this.#allowed > this.#allowedBefore) this.#keeper.renewInBackground();
  }

  /** Something changed while the application was idle: drops the cache until the next use. */
  forgetConfig(): void {
    this.#recent.clear();
    this.#cache.drop();
    this.#useCosts(noCosts);
  }

  /** The application and its cluster, as far as they are known. */
  get owners(): readonly string[] {
    const { config } = this.#cache;
    const owners = [config?.application, config?.limits.clusterId];
    return owners.filter((owner) => typeof owner === "string");
  }

  /** Whether its cost rules have to be read again when default costs change. */
  get hasOwnCosts(): boolean {
    return this.#cache.config?.costs.hasOwnRules ?? false;
  }

  /** Periodic maintenance. Answers whether it still needs to be called. */
  tick(now: number): boolean {
    this.#lookAtClock(now);
    if (this.#allowed !== this.#allowedBefore || this.#keeper.isRenewing) {
      this.#allowedBefore = this.#allowed;
      this.#usedAt = now;
    }
    if (this.#cache.isOlderThan(this.#options.pollMs(), now)) void this.#cache.refresh();
    void this.#owed.chargeAll();
    if (this.#denials.isDue(now)) void this.#denials.report();
    if (now - this.#usedAt >= this.#options.idleMs) {
      this.#returnIdle(now);
      return !this.#isEmpty;
    }
    this.#keeper.tick(now);
    return true;
  }

  /** Nothing is left that the database has to be told. */
  get #isEmpty(): boolean {
    return this.#owed.isEmpty && this.#denials.isEmpty && this.#keeper.leases.isEmpty;
  }

  #returnIdle(now: number): void {
    if (this.#keeper.leases.isEmpty || this.#store.isPaused(now)) return;
    this.#rare.noteReturned(this.#allowed - this.#allowedAtReturn);
    this.#allowedAtReturn = this.#allowed;
    void this.handBack();
  }

  /** Settles all leases. */
  handBack(): Promise<void> {
    return this.#keeper.handBack();
  }

  /** Another application took its place in the cache. Its caller may use it again. */
  async letGo(): Promise<void> {
    const returned = this.#keeper.letGo();
    this.forgetConfig();
    await returned;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#pauses.end(new ClosedError());
    this.#cache.close();
    this.#useCosts(noCosts);
    await this.#keeper.close();
    await this.#returnAll();
    // Again, as long as the database does not answer.
    while (!this.#isEmpty && this.#store.status.isDown && !this.#store.isClosed) {
      const { nextTryAt } = this.#store.status;
      await sleep(Math.max(nextTryAt - performance.now(), retryMs), undefined, { ref: false });
      await this.#returnAll();
    }
  }

  async #returnAll(): Promise<void> {
    await this.#owed.chargeAll();
    await this.handBack();
    await this.#denials.report();
  }

  // Deciding

  async #decide(
    operation: string,
    sizeBytes: number | null,
    reference: string | null,
  ): Promise<Decision> {
    const isRare = this.#rare.asks(performance.now(), this.#options.idleMs);
    for (let tries = 0; reference === null && tries < mostTries; tries += 1) {
      const decision = this.#checkSlowly(operation, sizeBytes, false);
      if (decision.reason !== "no_lease") return decision;
      const isShort = this.#keeper.isShort(performance.now());
      if (this.#cache.config?.limits.isDirect || isShort || isRare) break;
      await this.#keeper.renewFor(this.#needOf(operation, sizeBytes));
    }
    return this.#decideDirectly(operation, sizeBytes, reference);
  }

  #checkSlowly(operation: string, sizeBytes: number | null, isToRenew: boolean): Decision {
    this.#throwIfUnable();
    const now = performance.now();
    this.#lookAtClock(now);
    this.#throwIfUnable();
    const need = this.#needOf(operation, sizeBytes, now);
    if (need !== undefined) this.#keeper.usual = need;
    return this.#spend(need, now) ?? this.#decideWithoutLease(need ?? noNeed, now, isToRenew);
  }

  #spend(need: Need | undefined, now: number): Decision | undefined {
    if (need === undefined || this.#cache.config?.limits.isDirect) return undefined;
    const lease = this.#keeper.leases.find(need.tokens, need.bytes, now);
    if (lease === undefined) return undefined;
    this.#balance = lease.balance;
    lease.take(need.tokens, need.bytesCharged);
    this.#allowed += 1;
    if (lease.isToBeRenewed) this.#keeper.renewEarly();
    return this.#admission;
  }

  #decideWithoutLease(need: Need, now: number, isToRenew: boolean): Decision {
    const denied = this.#recent.find(need.tokens, need.bytes, now);
    if (denied !== undefined && need !== noNeed) return this.#countDenial(denied, need);
    const { isDown } = this.#store.status;
    if (isToRenew || isDown) this.#keeper.renewInBackground(now);
    if (isDown) return this.#decideInOutage(need, now);
    return denial("no_lease", this.#keeper.retryAfterMs(now));
  }

  #decideInOutage(need: Need, now: number): Decision {
    const { downSince = now, nextTryAt } = this.#store.status;
    const outage = { since: downSince, retryAfterMs: Math.max(Math.ceil(nextTryAt - now), 1) };
    const decision = this.#outage.decide(need, this.#limitsAtLastSight(now), outage, now);
    // Not counted for the denial report, which is about buckets.
    if (decision.allowed) {
      this.#uncharged += 1;
      this.#options.onUncharged();
    } else {
      this.#denied += 1;
    }
    return decision;
  }

  #limitsAtLastSight(now: number): SharedLimits | undefined {
    const limits = this.#cache.config?.limits;
    return limits === undefined ? undefined : { ...limits, holders: this.#keeper.holders(now) };
  }

  async #decideDirectly(
    operation: string,
    size: number | null,
    reference: string | null,
  ): Promise<Decision> {
    try {
      const { application } = await this.#knownConfig();
      const need = this.#needOf(operation, size);
      if (need === undefined || this.#store.isPaused(performance.now())) throw unavailable();
      // The database must see what is owed, and have back what this process still holds.
      await this.#owed.chargeAll();
      const { leases } = this.#keeper;
      if (!leases.isEmpty && !leases.current.holds(need.tokens, need.bytes)) await this.handBack();
      const asked = { name: operation, size, reference };
      const decision = await this.#coalescer.decide(application, asked);
      this.#noteDirect(decision, need, reference);
      return { ...decision, ...standingOf(this.#cache.config?.limits) };
    } catch (error) {
      return this.#decideAfter(error, this.#needOf(operation, size) ?? noNeed);
    }
  }

  #decideAfter(error: unknown, need: Need): Decision {
    if (this.#isClosed) throw new ClosedError();
    const { isDown } = this.#store.status;
    if (error instanceof UnavailableError && isDown) {
      return this.#decideInOutage(need, performance.now());
    }
    // The database is healthy, so nothing is admitted uncharged.
    const isBusy = error instanceof BusyError || error instanceof UnavailableError;
    if (!isBusy) throw error;
    this.#denied += 1;
    return denial("store_unavailable", busyPauseMs);
  }

  /** The database counted the denial itself, so it is left out of the denial report. */
  #noteDirect(decision: Decision, need: Need, reference: string | null): void {
    this.#options.onUse(this);
    if (decision.allowed) {
      this.#allowed += 1;
      return;
    }
    this.#denied += 1;
    if (reference === null && decision.reason !== null) {
      this.#recent.remember(decision.reason, decision.retryAfterMs, need, performance.now());
    }
  }

  #countDenial(decision: Decision, need: Need): Decision {
    this.#denied += 1;
    const tokens = Math.min(need.tokens, Number.MAX_SAFE_INTEGER);
    this.#denials.add(decision.reason ?? "", tokens, need.bytesCharged);
    return decision;
  }

  /** Undefined while the costs are unknown. Throws what SQL would raise. */
  #needOf(operation: string, size: number | null, now = performance.now()): Need | undefined {
    requireSize(size);
    if (this.#cache.config === undefined) return undefined;
    const cost = this.#costsAt(now).get(operation);
    if (cost === undefined) {
      this.#cache.refreshAtMostOnceASecond();
      throw unknownOperation(operation);
    }
    if (!cost.isActive) throw inactiveOperation(operation);
    return {
      operation,
      tokens: cost.of(size ?? 0),
      bytes: size ?? 1,
      bytesCharged: size ?? 0,
    };
  }

  #throwIfUnable(): void {
    if (this.#isClosed) throw new ClosedError();
    if (this.#cache.error === undefined) return;
    this.#cache.refreshAtMostOnceASecond();
    throw this.#cache.error;
  }

  #report(decision: Decision, operation: string): Decision {
    this.#options.onDecision?.(decision, operation);
    return decision;
  }

  // Time

  #lookAtClock(now: number): void {
    const { leases } = this.#keeper;
    leases.dropExpired(now);
    this.#balance = leases.current.balance;
    this.#cache.checkKey(now);
    const { config, error } = this.#cache;
    const endsAt = Math.min(leases.current.expiresAt, config?.keyValidUntil ?? now);
    const hasTime = endsAt - now > clockMarginMs;
    this.#countChecks(hasTime ? checksPerClock : 0);
    if (hasTime) this.#readClockInNextTurn();
    if (config === undefined || error !== undefined) return;
    this.#costsAt(now);
    if (now >= config.limits.until) void this.reloadConfig();
  }

  /** The process may be idle for long after this turn of the event loop. */
  #readClockInNextTurn(): void {
    if (this.#isClockDue) return;
    this.#isClockDue = true;
    setImmediate(this.#readClockAgain).unref();
  }

  #countChecks(untilClock: number): void {
    this.#allowed += this.#checksAtClock - this.#checksUntilClock;
    this.#checksUntilClock = untilClock;
    this.#checksAtClock = untilClock;
  }

  #costsAt(now: number): ReadonlyMap<string, OperationCost> {
    const { config, error } = this.#cache;
    const costs = config?.costs.at(now) ?? noCosts;
    const isUsable = !this.#isClosed && error === undefined && !config?.limits.isDirect;
    // The fast path of check() reports nothing.
    const isFast = isUsable && this.#options.onDecision === undefined;
    this.#useCosts(isFast ? costs : noCosts);
    return costs;
  }

  #useCosts(costs: ReadonlyMap<string, OperationCost>): void {
    if (costs === this.#costs) return;
    this.#costs = costs;
    this.#operation = undefined;
    this.#cost = OperationCost.unknown;
  }

  #costOf(operation: string): OperationCost {
    this.#operation = operation;
    this.#cost = this.#costs.get(operation) ?? OperationCost.unknown;
    return this.#cost;
  }

  // Config and leases

  async #knownConfig() {
    if (this.#isClosed) throw new ClosedError();
    const config = await this.#cache.known();
    this.#throwIfUnable();
    return config;
  }

  #noteConfig(before: Limits | undefined): void {
    this.#costsAt(performance.now());
    this.#options.onUse(this);
    const limits = this.#cache.config?.limits;
    if (before === undefined || limits === undefined || areSame(before, limits)) return;
    // Not notified, as by polling: leases of the old limits go back.
    this.#recent.clear();
    this.#keeper.forgetPause();
    void this.handBack();
  }

  #noteLease(): void {
    this.#balance = this.#keeper.leases.current.balance;
    this.#countChecks(0);
  }

  #noteGrant(): void {
    this.#outage.reset();
    this.#options.onUse(this);
  }

  /** The config was dropped since the operation ran: read it again first. */
  #whenKnown(work: () => void): void {
    const workNow = () => {
      if (this.#cache.config !== undefined && !this.#isClosed) work();
    };
    // An operation that was deleted costs nothing.
    void this.#cache
      .refresh()
      .then(workNow)
      .catch(() => {});
  }

  async #stop(): Promise<void> {
    this.#useCosts(noCosts);
    await this.handBack();
  }

  #standing(): Standing {
    const bytes = this.#balance[1];
    return {
      remaining: this.#balance[0] / 1_000_000,
      remainingBytes: Number.isFinite(bytes) ? bytes : null,
      ...standingOf(this.#cache.config?.limits),
    };
  }

  #state(): ApplicationStatus["state"] {
    if (this.#isClosed) return "closed";
    if (this.#cache.error !== undefined) return "rejected";
    if (this.#store.status.isDown) return "outage";
    return this.#cache.config === undefined ? "loading" : "ready";
  }
}
