import { decimalOf, largestAmount } from "./amount.ts";
import { type Decision, denial } from "./decision.ts";
import { type DenialCount, DenialCounts, denialsAsJson, RecentDenials } from "./denials.ts";
import { DirectDecisions } from "./direct-decisions.ts";
import {
  ClosedError,
  ForbiddenError,
  InvalidRequestError,
  type LimiterError,
  NotFoundError,
  refusesApplication,
  UnavailableError,
  unavailable,
} from "./errors.ts";
import { type Balance, Lease } from "./lease.ts";
import { LeaseSize } from "./lease-size.ts";
import { Leases } from "./leases.ts";
import type { Limits } from "./limits.ts";
import { OperationCost } from "./operation-cost.ts";
import { type OutagePolicy, OutageRules } from "./outage.ts";
import { requireSize } from "./require-size.ts";
import type { ApplicationStatus } from "./status.ts";
import { leaseTokens } from "./store/lease-tokens.ts";
import { refund } from "./store/refund.ts";
import { renewLease } from "./store/renew-lease.ts";
import { type Settlement, settle } from "./store/settle.ts";
import { settleLease } from "./store/settle-lease.ts";
import type { Store } from "./store/store.ts";
import { type ApplicationName, readTerms, type Terms } from "./terms.ts";

/** Reading a clock costs more than the rest of a check: once for so many checks will do. */
const checksPerClock = 64;
const shortestPauseMs = 100;
const staleAfterMs = 500;
const mostTries = 3;

const noCosts: ReadonlyMap<string, OperationCost> = new Map();

export interface ApplicationOptions {
  readonly holder: string;
  readonly leaseMs: number | null;
  readonly idleMs: number;
  readonly outage: OutagePolicy;
  /** How often to look for changes, as long as that stands. */
  readonly pollMs: () => number;
  /** Tells that it holds something, and has to be ticked and told of changes. */
  readonly onUse: (limiter: ApplicationLimiter) => void;
}

interface Need {
  readonly operation: string;
  readonly tokens: number;
  readonly bytes: number;
}

/** An operation that ran without a reference. */
export interface Spent {
  readonly operation: string;
  readonly sizeBytes?: number;
}

/** Decides for one application: out of a lease where that will do, else by asking the database. */
export class ApplicationLimiter {
  readonly #store: Store;
  readonly #name: ApplicationName;
  readonly #options: ApplicationOptions;
  readonly #direct: DirectDecisions;
  readonly #recent = new RecentDenials();
  readonly #counts = new DenialCounts();
  readonly #outage: OutageRules;
  readonly #leases = new Leases();
  readonly #tokenSize: LeaseSize;
  readonly #byteSize: LeaseSize;
  readonly #admission: Decision;

  // What check() reads: plain numbers and one object.
  #costs: ReadonlyMap<string, OperationCost> = noCosts;
  #balance: Balance;
  /** The last operation and its cost. */
  #operation: string | undefined;
  #cost = OperationCost.unknown;
  #checksUntilClock = 0;

  /** All but the checks since the clock was read. */
  #allowed = 0;
  #checksAtClock = 0;

  #denied = 0;
  #uncharged = 0;
  #terms: Terms | undefined;
  /** Known for as long as there may be leases to settle, whatever becomes of the terms. */
  #application: string | undefined;
  #refusal: LimiterError | undefined;
  #isClosed = false;
  #isLimited = { tokens: true, bytes: true };
  #usual = { tokens: 0, bytes: 0 };
  #waiting = { tokens: 0, bytes: 0 };
  #measured = { tokens: 0, bytes: 0 };
  #holders = 1;
  #lifetimeMs = 10_000;
  #nextLeaseAt = 0;
  #usedAt = 0;
  #allowedBefore = 0;
  #readAt = Number.NEGATIVE_INFINITY;
  #renewal: Promise<void> | undefined;
  #reading: Promise<void> | undefined;
  #isOutdated = false;

  constructor(store: Store, name: ApplicationName, options: ApplicationOptions) {
    const now = performance.now();
    this.#store = store;
    this.#name = name;
    this.#options = options;
    this.#direct = new DirectDecisions(store);
    this.#outage = new OutageRules(options.outage);
    this.#tokenSize = new LeaseSize(now);
    this.#byteSize = new LeaseSize(now);
    this.#balance = this.#leases.current.balance;
    this.#usedAt = now;
    this.#admission = new Admission(() => this.#balance[0] / 1_000_000);
  }

  /**
   * Decides at once, without the database. Reason `no_lease` says that nothing is in hand to
   * decide with: one is being fetched, and checkAsync waits for it. An admission is one object
   * that every call answers, with `remaining` as of when it is read.
   */
  check(operation: string, sizeBytes = 0): Decision {
    const cost = operation === this.#operation ? this.#cost : this.#costOf(operation);
    const tokens = sizeBytes === cost.knownSize ? cost.knownCost : cost.quickly(sizeBytes);
    const balance = this.#balance;
    if (tokens <= balance[0] && sizeBytes <= balance[1] && this.#checksUntilClock > 0) {
      this.#checksUntilClock -= 1;
      balance[0] -= tokens;
      balance[1] -= sizeBytes;
      if (balance[0] < balance[2] || balance[1] < balance[3]) this.#renewEarly();
      return this.#admission;
    }
    return this.#checkWithCare(operation, sizeBytes, true);
  }

  /**
   * Decides, and waits for the database where nothing in hand decides. Under a `reference` the
   * database decides and remembers: a retry takes nothing, settle and refund find it.
   */
  async checkAsync(
    operation: string,
    sizeBytes = 0,
    options: { readonly reference?: string } = {},
  ): Promise<Decision> {
    const reference = options.reference ?? null;
    for (let tries = 0; reference === null && tries < mostTries; tries += 1) {
      const decision = this.#checkWithCare(operation, sizeBytes, false);
      if (decision.reason !== "no_lease") return decision;
      if (!(await this.#waitForLease(operation, sizeBytes))) break;
    }
    return this.#decideDirectly(operation, sizeBytes, reference);
  }

  /** Charges or gives back the difference of an operation under a reference, once. */
  async settle(reference: string, actualSize: number): Promise<Settlement> {
    const { application } = await this.#knownTerms();
    return this.#store.call((sql) => settle(sql, application, reference, actualSize));
  }

  /** Gives back the whole charge of an operation under a reference; whether this call did. */
  async refund(reference: string): Promise<boolean> {
    const { application } = await this.#knownTerms();
    return this.#store.call((sql) => refund(sql, application, reference));
  }

  /** The same for an operation without a reference, at once: the difference is the lease's. */
  settleSpent(spent: Spent, actualSize: number): void {
    const announced = this.#needOf(spent.operation, spent.sizeBytes ?? 0);
    const actual = this.#needOf(spent.operation, actualSize);
    if (announced !== undefined && actual !== undefined) this.#move(announced, actual);
    else this.#whenKnown(() => this.settleSpent(spent, actualSize));
  }

  refundSpent(spent: Spent): void {
    const charged = this.#needOf(spent.operation, spent.sizeBytes ?? 0);
    if (charged !== undefined) this.#move(charged, { ...charged, tokens: 0, bytes: 0 });
    else this.#whenKnown(() => this.refundSpent(spent));
  }

  /** Resolves when costs and limits are known; rejects where the application is refused. */
  async ready(): Promise<void> {
    this.#throwIfUnable();
    if (this.#terms === undefined) await this.refresh();
    this.#throwIfUnable();
  }

  status(): ApplicationStatus {
    const now = performance.now();
    const { current } = this.#leases;
    return {
      state: this.#state(),
      application: this.#application,
      lease: {
        tokens: current.tokensLeft / 1_000_000,
        bytes: current.bytesLeft,
        expiresInMs: Number.isFinite(current.expiresAt) ? current.expiresAt - now : 0,
      },
      holders: this.#holders,
      decidedByDatabase: this.#terms?.limits.isDirect ?? false,
      allowed: this.#allowed + this.#checksAtClock - this.#checksUntilClock,
      denied: this.#denied,
      uncharged: this.#uncharged,
      lastError: this.#refusal ?? this.#store.status.lastError,
    };
  }

  /** Reads key, costs and limits again. A change that is told meanwhile is read after. */
  refresh(): Promise<void> {
    if (this.#reading !== undefined) {
      this.#isOutdated = true;
      return this.#reading;
    }
    this.#reading = this.#read().finally(() => {
      this.#reading = undefined;
      if (this.#isOutdated && !this.#isClosed) {
        this.#isOutdated = false;
        void this.refresh();
      }
    });
    return this.#reading;
  }

  /** Quotas changed: what was leased under the old ones goes back. */
  async renewTerms(): Promise<void> {
    this.#recent.clear();
    this.#nextLeaseAt = 0;
    await Promise.all([this.handBack(), this.refresh()]);
    if (this.#allowed > this.#allowedBefore) this.#renewInBackground();
  }

  /** Something changed while nobody asked: everything is read at the next use. */
  forgetTerms(): void {
    this.#recent.clear();
    this.#refusal = undefined;
    this.#terms = undefined;
    this.#useCosts(noCosts);
  }

  /** Whether it is about the application, or the cluster that hosts it. */
  isAbout(ownerId: string | null): boolean {
    if (ownerId === null || this.#terms === undefined) return true;
    return ownerId === this.#terms.application || ownerId === this.#terms.limits.clusterId;
  }

  /** Done a few times a second; answers whether there is anything left to look after. */
  tick(now: number): boolean {
    this.#lookAtClock(now);
    if (this.#allowed !== this.#allowedBefore || this.#renewal !== undefined) {
      this.#allowedBefore = this.#allowed;
      this.#usedAt = now;
    }
    if (now - this.#readAt >= this.#options.pollMs()) void this.refresh();
    if (now - this.#usedAt >= this.#options.idleMs) {
      void this.handBack();
      return false;
    }
    if (this.#leases.endsSoon(now, this.#lifetimeMs, Math.random())) this.#moveOn(now);
    this.#settleStale(now);
    return true;
  }

  /** Gives back all that is held. */
  async handBack(): Promise<void> {
    const leases = this.#leases.takeAll();
    this.#balance = this.#leases.current.balance;
    this.#measured = this.#leases.spent;
    const now = performance.now();
    this.#tokenSize.forget(now);
    this.#byteSize.forget(now);
    await Promise.all(leases.map((lease) => this.#settle(lease)));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#useCosts(noCosts);
    await this.#renewal?.catch(() => {});
    await this.#payDebt();
    await this.handBack();
  }

  /** There is no next lease to pay it: this one is for nothing else. */
  async #payDebt(): Promise<void> {
    const { tokens, bytes } = this.#leases.debt;
    const application = this.#application;
    const isDue = tokens > 0 || bytes > 0;
    if (!isDue || application === undefined || this.#store.isPaused(performance.now())) return;
    await this.#takeLease(application);
  }

  // Deciding

  #checkWithCare(operation: string, sizeBytes: number, isToRenew: boolean): Decision {
    this.#throwIfUnable();
    const now = performance.now();
    this.#lookAtClock(now);
    const need = this.#needOf(operation, sizeBytes);
    if (need === undefined) return this.#decideWithoutTerms(now, isToRenew);
    this.#usual = need;
    return this.#spend(need, now) ?? this.#decideWithoutLease(need, now, isToRenew);
  }

  #spend(need: Need, now: number): Decision | undefined {
    if (this.#terms?.limits.isDirect) return undefined;
    const lease = this.#leases.find(need.tokens, need.bytes, now);
    if (lease === undefined) return undefined;
    this.#balance = lease.balance;
    lease.take(need.tokens, need.bytes);
    this.#allowed += 1;
    if (lease.isToBeRenewed) this.#renewEarly();
    return this.#admission;
  }

  #decideWithoutLease(need: Need, now: number, isToRenew: boolean): Decision {
    const denied = this.#recent.find(need.tokens, need.bytes, now);
    if (denied !== undefined) return this.#countDenial(denied, need);
    const { isDown } = this.#store.status;
    if (isToRenew || isDown) this.#renewInBackground();
    if (isDown) return this.#decideInOutage(need, now);
    return denial("no_lease", Math.max(Math.ceil(this.#nextLeaseAt - now), 1));
  }

  #decideWithoutTerms(now: number, isToRenew: boolean): Decision {
    const { isDown } = this.#store.status;
    if (isToRenew || isDown) this.#renewInBackground();
    if (!isDown) return denial("no_lease", 1);
    return this.#decideInOutage({ operation: "", tokens: 0, bytes: 0 }, now);
  }

  #decideInOutage(need: Need, now: number): Decision {
    const { downSince = now, nextTryAt } = this.#store.status;
    const outage = { since: downSince, retryAfterMs: Math.max(Math.ceil(nextTryAt - now), 1) };
    const decision = this.#outage.decide(need, this.#limitsAtLastSight(), outage, now);
    // Not among the counts that are handed in: those are of buckets.
    if (decision.allowed) this.#uncharged += 1;
    else this.#denied += 1;
    return decision;
  }

  #limitsAtLastSight(): Limits | undefined {
    const limits = this.#terms?.limits;
    return limits === undefined ? undefined : { ...limits, holders: this.#holders };
  }

  async #decideDirectly(
    operation: string,
    size: number,
    reference: string | null,
  ): Promise<Decision> {
    try {
      const { application } = await this.#knownTerms();
      const need = this.#needOf(operation, size);
      if (need === undefined || this.#store.isPaused(performance.now())) throw unavailable();
      // What is in hand here would be missing there.
      if (!this.#leases.isEmpty && !this.#leases.current.holds(need.tokens, need.bytes)) {
        await this.handBack();
      }
      const asked = { name: operation, size, reference };
      const decision = await this.#direct.decide(application, asked);
      this.#noteDirect(decision, need, reference);
      return decision;
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error;
      const need = this.#needOf(operation, size) ?? { operation, tokens: 0, bytes: 0 };
      return this.#decideInOutage(need, performance.now());
    }
  }

  /** The database counted it, so it is not counted for the next report. */
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
    this.#counts.add(decision.reason ?? "", tokens, need.bytes, Date.now());
    return decision;
  }

  /** Undefined while the costs are unknown; throws what SQL would raise. */
  #needOf(operation: string, size: number): Need | undefined {
    requireSize(size);
    if (this.#terms === undefined) return undefined;
    const cost = this.#costsAt(performance.now()).get(operation);
    if (cost === undefined) {
      this.#refreshAtMostOnceASecond();
      throw unknownOperation(operation);
    }
    if (!cost.isActive) throw inactiveOperation(operation);
    return { operation, tokens: cost.of(size), bytes: size };
  }

  #throwIfUnable(): void {
    if (this.#isClosed) throw new ClosedError();
    if (this.#refusal === undefined) return;
    this.#refreshAtMostOnceASecond();
    throw this.#refusal;
  }

  #refreshAtMostOnceASecond(): void {
    if (performance.now() - this.#readAt >= 1_000) void this.refresh();
  }

  // Time

  #lookAtClock(now: number): void {
    this.#allowed += this.#checksAtClock - this.#checksUntilClock;
    this.#checksUntilClock = checksPerClock;
    this.#checksAtClock = checksPerClock;
    this.#leases.dropExpired(now);
    this.#balance = this.#leases.current.balance;
    if (this.#terms === undefined || this.#refusal !== undefined) return;
    this.#costsAt(now);
    if (now >= this.#terms.limits.until) void this.renewTerms();
  }

  #costsAt(now: number): ReadonlyMap<string, OperationCost> {
    const costs = this.#terms?.prices.at(now) ?? noCosts;
    const isUsable =
      !this.#isClosed && this.#refusal === undefined && !this.#terms?.limits.isDirect;
    this.#useCosts(isUsable ? costs : noCosts);
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

  // Terms

  async #knownTerms(): Promise<Terms> {
    if (this.#terms === undefined) await this.refresh();
    this.#throwIfUnable();
    if (this.#terms === undefined) throw this.#store.status.lastError ?? unavailable();
    return this.#terms;
  }

  /** Never rejects: a refusal is remembered, an outage is the store's to know. */
  async #read(): Promise<void> {
    const now = performance.now();
    this.#readAt = now;
    if (this.#store.isPaused(now)) return;
    try {
      this.#terms = await readTerms(this.#store, this.#name, this.#holders);
      this.#application = this.#terms.application;
      this.#refusal = undefined;
      this.#costsAt(performance.now());
      this.#options.onUse(this);
    } catch (error) {
      // What is no key and no id at all is refused, too: no outage policy lets it through.
      const isRefused =
        refusesApplication(error as LimiterError) || error instanceof InvalidRequestError;
      if (isRefused) await this.#refuse(error as LimiterError);
    }
  }

  async #refuse(error: LimiterError): Promise<void> {
    this.#refusal = error;
    this.#useCosts(noCosts);
    await this.handBack();
  }

  // Leases

  #renewEarly(): void {
    this.#leases.current.neverRenew();
    if (!this.#leases.hasNext) this.#renewInBackground();
  }

  #moveOn(now: number): void {
    if (!this.#leases.hasNext) {
      this.#renewEarly();
      return;
    }
    this.#leases.advance(now);
    this.#balance = this.#leases.current.balance;
  }

  #renewInBackground(): void {
    if (performance.now() >= this.#nextLeaseAt) void this.#renew();
  }

  /** One at a time, however many wait. Never rejects. */
  #renew(): Promise<void> {
    this.#renewal ??= this.#renewOnce().finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #renewOnce(): Promise<void> {
    // Whoever asks in this very moment has his need counted.
    await Promise.resolve();
    if (this.#isClosed || this.#store.isPaused(performance.now())) return;
    const isOld = performance.now() - this.#readAt >= this.#options.pollMs();
    if (this.#terms === undefined || isOld) await this.refresh();
    if (this.#terms === undefined || this.#refusal !== undefined) return;
    if (this.#terms.limits.isDirect) return;
    await this.#takeLease(this.#terms.application);
  }

  async #takeLease(application: string): Promise<void> {
    const askedAt = performance.now();
    const asked = this.#amountsToAsk(askedAt);
    const denials = this.#counts.take();
    const finished = this.#leases.takeFinished();
    const request = {
      application,
      tokens: decimalOf(asked.tokens),
      bytes: String(asked.bytes),
      lifetimeMs: this.#options.leaseMs,
      holder: this.#options.holder,
      denials: denialsAsJson(denials),
    };
    try {
      const grant = await this.#store.call((sql) =>
        finished?.id == null
          ? leaseTokens(sql, request)
          : renewLease(sql, { ...finished.spent, id: finished.id }, request),
      );
      this.#isLimited = { tokens: grant.is_limited_tokens, bytes: grant.is_limited_bytes };
      this.#holders = Math.max(grant.holders, 1);
      this.#lifetimeMs = Number(grant.lifetime_ms);
      this.#outage.reset();
      this.#keep(Lease.of(grant, askedAt), asked, Number(grant.retry_after_ms));
    } catch (error) {
      this.#keepCounts(denials, error);
      if (refusesApplication(error as LimiterError)) await this.#refuse(error as LimiterError);
    }
  }

  #amountsToAsk(now: number): { readonly tokens: number; readonly bytes: number } {
    const { spent, debt } = this.#leases;
    this.#tokenSize.measure(Math.max(spent.tokens - this.#measured.tokens, 0), now);
    this.#byteSize.measure(Math.max(spent.bytes - this.#measured.bytes, 0), now);
    this.#measured = spent;
    const { tokens, bytes } = this.#usual;
    const tokensWaited = this.#waiting.tokens + debt.tokens;
    const bytesWaited = this.#waiting.bytes + debt.bytes;
    return {
      tokens: this.#isLimited.tokens ? this.#tokenSize.next(tokens, tokensWaited) : 0,
      bytes: this.#isLimited.bytes ? this.#byteSize.next(bytes, bytesWaited) : 0,
    };
  }

  #keep(
    lease: Lease,
    asked: { readonly tokens: number; readonly bytes: number },
    retryAfterMs: number,
  ): void {
    const now = performance.now();
    const isShort = lease.tokens < asked.tokens || lease.bytes < asked.bytes;
    const pause = isShort ? Math.max(retryAfterMs, shortestPauseMs) : 0;
    this.#nextLeaseAt = now + pause * (1 + 0.2 * Math.random());
    if (this.#refusal !== undefined) {
      void this.#settle(lease);
      return;
    }
    if (!isShort) lease.renewAtHalf(Math.random());
    if (lease.id !== null || !(this.#isLimited.tokens || this.#isLimited.bytes)) {
      this.#leases.add(lease, now);
      this.#balance = this.#leases.current.balance;
      this.#settleStale(now);
      this.#options.onUse(this);
    }
  }

  #settleStale(now: number): void {
    for (const lease of this.#leases.takeStale(now, staleAfterMs)) void this.#settle(lease);
  }

  /** Answers whether it is worth looking at the lease again. */
  async #waitForLease(operation: string, size: number): Promise<boolean> {
    const isShort = performance.now() < this.#nextLeaseAt;
    if (this.#terms?.limits.isDirect || isShort) return false;
    const need = this.#needOf(operation, size);
    const tokens = Number.isFinite(need?.tokens) ? (need?.tokens ?? 0) : 0;
    const bytes = need?.bytes ?? 0;
    this.#waiting.tokens += tokens;
    this.#waiting.bytes += bytes;
    await this.#renew();
    this.#waiting.tokens -= tokens;
    this.#waiting.bytes -= bytes;
    return true;
  }

  async #settle(lease: Lease): Promise<void> {
    const application = this.#application;
    const { id, spent } = lease;
    if (application === undefined || id === null) return;
    const denials = this.#counts.take();
    try {
      await this.#store.call((sql) =>
        settleLease(sql, application, { ...spent, id }, denialsAsJson(denials)),
      );
    } catch (error) {
      // It counts as spent when it expires: nothing to mend.
      this.#keepCounts(denials, error);
    }
  }

  /** Not where they were refused: every call that they go along with would be. */
  #keepCounts(denials: readonly DenialCount[] | null, error: unknown): void {
    if (error instanceof UnavailableError) this.#counts.putBack(denials);
  }

  // Settling operations

  /** Terms were forgotten since the operation ran: they are read again for it. */
  #whenKnown(settle: () => void): void {
    const settleNow = () => {
      if (this.#terms !== undefined && !this.#isClosed) settle();
    };
    // What is no operation any more costs nothing.
    void this.refresh()
      .then(settleNow)
      .catch(() => {});
  }

  #move(from: Need, to: Need): void {
    if (this.#terms?.limits.isDirect) return;
    const tokens = Math.min(to.tokens, largestAmount) - Math.min(from.tokens, largestAmount);
    const bytes = to.bytes - from.bytes;
    this.#leases.charge(Math.max(tokens, 0), Math.max(bytes, 0));
    this.#leases.putBack(Math.max(-tokens, 0), Math.max(-bytes, 0));
  }

  #state(): ApplicationStatus["state"] {
    if (this.#isClosed) return "closed";
    if (this.#refusal !== undefined) return "refused";
    if (this.#store.status.isDown) return "outage";
    return this.#terms === undefined ? "loading" : "ready";
  }
}

/** Shared by every admission: only what is left changes, and that is looked up when it is read. */
class Admission implements Decision {
  readonly allowed = true;
  readonly layer = null;
  readonly reason = null;
  readonly retryAfterMs = 0;
  readonly delayMs = 0;
  readonly #remaining: () => number;

  constructor(remaining: () => number) {
    this.#remaining = remaining;
    Object.freeze(this);
  }

  get remaining(): number {
    return this.#remaining();
  }
}

function unknownOperation(operation: string): NotFoundError {
  return new NotFoundError("QS404", "unknown operation", {
    detail: `operation: ${operation}`,
    hint: "Use a name from operation_types, or add it there.",
  });
}

function inactiveOperation(operation: string): ForbiddenError {
  return new ForbiddenError("QS403", "operation is inactive", {
    detail: `operation: ${operation}`,
    hint: "An administrator can activate the operation again.",
  });
}
