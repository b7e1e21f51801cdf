import { type ApplicationParts, partsOf, type SharedParts } from "./application-parts.ts";
import { statusOf } from "./application-status.ts";
import { ApplicationUpkeep } from "./application-upkeep.ts";
import type { ApplicationName } from "./config/application-config.ts";
import { type AcquireOptions, acquire } from "./decisions/acquire.ts";
import type { Admission } from "./decisions/admission.ts";
import type { Decision } from "./decisions/decision.ts";
import type { OutagePolicy } from "./decisions/outage.ts";
import { ClosedError } from "./errors.ts";
import type { LeasedOperation } from "./leases/leased-operations.ts";
import type { Spending } from "./leases/spending.ts";
import type { ApplicationStatus } from "./status.ts";
import { refund } from "./store/refund.ts";
import { type Settlement, settle } from "./store/settle.ts";
import { abortable, throwIfAborted } from "./waiting/abortable.ts";
import { Pauses } from "./waiting/pauses.ts";

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
  readonly #options: ApplicationOptions;
  readonly #parts: ApplicationParts;
  readonly #upkeep: ApplicationUpkeep;
  readonly #pauses = new Pauses();
  // For the fast path of check().
  readonly #spending: Spending;
  readonly #admission: Admission;

  constructor(shared: SharedParts, name: ApplicationName, options: ApplicationOptions) {
    this.#options = options;
    this.#parts = partsOf(shared, {
      ...options,
      name,
      isReported: options.onDecision !== undefined,
      onUse: () => options.onUse(this),
      onConfig: (before) => this.#upkeep.noteConfig(before),
      onLimitsEnd: () => void this.reloadConfig(),
      onRejected: () => this.#upkeep.stop(),
    });
    this.#upkeep = new ApplicationUpkeep(this.#parts, options);
    this.#spending = this.#parts.spending;
    this.#admission = this.#parts.admission;
  }

  /**
   * Decides synchronously, without the database. Reason `no_lease`: this process holds no lease
   * that can pay; one is being fetched, and checkAsync waits for it. All admissions from a lease
   * are one shared object whose `remaining` is evaluated on read. `sizeBytes` is null where the
   * size is not known yet; settleLeased charges it later.
   */
  check(operation: string, sizeBytes: number | null = 0): Decision {
    if (sizeBytes !== null && this.#spending.pays(operation, sizeBytes)) return this.#admission;
    return this.#report(this.#parts.decider.decideNow(operation, sizeBytes), operation);
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
    const decided = this.#parts.decider.decide(operation, sizeBytes, reference ?? null);
    return this.#report(await abortable(decided, signal), operation);
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
    const sleep = (ms: number, { signal }: CheckOptions) => this.#pauses.sleep(ms, signal);
    return acquire(() => this.checkAsync(operation, sizeBytes, options), options, sleep);
  }

  /** Charges or credits the difference to the actual size of a referenced operation, once. */
  async settle(reference: string, actualSize: number): Promise<Settlement> {
    const { cache, store } = this.#parts;
    const { application } = await cache.known();
    return store.charge(
      (sql) => settle(sql, application, reference, actualSize),
      ({ settled }) => settled,
    );
  }

  /** Credits the whole charge of a referenced operation. Answers whether this call did it. */
  async refund(reference: string): Promise<boolean> {
    const { cache, store } = this.#parts;
    const { application } = await cache.known();
    return store.charge(
      (sql) => refund(sql, application, reference),
      (isRefunded) => isRefunded,
    );
  }

  /**
   * The same for an operation that was charged to a lease: the difference is taken from the lease
   * at once, and what the lease does not hold is owed and charged in the database shortly after.
   */
  settleLeased(leased: LeasedOperation, actualSize: number): void {
    this.#parts.leased.settle(leased, actualSize);
  }

  refundLeased(leased: LeasedOperation): void {
    this.#parts.leased.refund(leased);
  }

  /** Resolves when costs and limits are known; rejects where they cannot be read. */
  async ready(): Promise<void> {
    await this.#parts.cache.known();
  }

  status(): ApplicationStatus {
    return statusOf(this.#parts, performance.now());
  }

  /** Reads key, costs and limits again. A change notified meanwhile triggers another read. */
  refresh(): Promise<void> {
    return this.#parts.cache.refresh();
  }

  /** Quotas changed: returns what was leased under the old ones and reads the new ones. */
  reloadConfig(): Promise<void> {
    return this.#upkeep.reloadConfig();
  }

  /** Something changed while the application was idle: drops the cache until the next use. */
  forgetConfig(): void {
    this.#upkeep.forgetConfig();
  }

  /** The application, its tenant and its cluster, as far as they are known. */
  get owners(): readonly string[] {
    const { config } = this.#parts.cache;
    const owners = [config?.application, config?.tenant, config?.limits.clusterId];
    return owners.filter((owner) => typeof owner === "string");
  }

  /** Whether its cost rules have to be read again when default costs change. */
  get hasOwnCosts(): boolean {
    return this.#parts.cache.config?.costs.hasOwnRules ?? false;
  }

  /** Periodic maintenance. Answers whether it still needs to be called. */
  tick(now: number): boolean {
    return this.#upkeep.tick(now);
  }

  /** Settles all leases. */
  handBack(): Promise<void> {
    return this.#parts.keeper.handBack();
  }

  /** Another application took its place in the cache. Its caller may use it again. */
  letGo(): Promise<void> {
    return this.#upkeep.letGo();
  }

  async close(): Promise<void> {
    if (this.#parts.layer3.isClosed) return;
    this.#pauses.end(new ClosedError());
    await this.#upkeep.close();
  }

  #report(decision: Decision, operation: string): Decision {
    this.#options.onDecision?.(decision, operation);
    return decision;
  }
}
