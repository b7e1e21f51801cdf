import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { createLRU } from "lru.min";
import { ApplicationLimiter, type CheckOptions } from "./application-limiter.ts";
import type { ApplicationName } from "./config/application-config.ts";
import { ChangeRouter } from "./config/change-router.ts";
import { Changes } from "./config/changes.ts";
import { ConfigLoader } from "./config/config-loader.ts";
import type { AcquireOptions } from "./decisions/acquire.ts";
import type { Decision } from "./decisions/decision.ts";
import { defaultOutagePolicy } from "./decisions/outage.ts";
import { ClosedError, InvalidRequestError, type LimiterError } from "./errors.ts";
import { LeaseExchange } from "./leases/lease-exchange.ts";
import type { LeasedOperation } from "./leases/leased-operations.ts";
import { type LimiterOptions, validateLimiterOptions } from "./options/limiter-options.ts";
import { type ClientLogger, defaultLogger } from "./options/logger.ts";
import { ProcessReporter } from "./process-reporter.ts";
import type { ApplicationStatus, LimiterStatus } from "./status.ts";
import type { Connections } from "./store/connections.ts";
import type { LeaseHolder } from "./store/exchange-leases.ts";
import { openConnections } from "./store/open-connections.ts";
import type { Settlement } from "./store/settle.ts";
import { Store } from "./store/store.ts";
import { within } from "./waiting/within.ts";

const tickMs = 100;
/** Polling interval while notifications arrive. */
const netPollMs = 60_000;
/** For settling leases on close(); then connections are destroyed. */
const closeMs = 4_000;

/** Limiters that close on SIGTERM: the process ends when the last of them has closed. */
const ending = new Set<Limiter>();

/** Decides on storage operations from leases. Use one per process. */
export class Limiter implements AsyncDisposable {
  readonly #connections: Connections;
  readonly #options: LimiterOptions;
  readonly #log: ClientLogger;
  readonly #store: Store;
  readonly #loader: ConfigLoader;
  readonly #exchange: LeaseExchange;
  readonly #changes: Changes;
  readonly #reporter: ProcessReporter;
  readonly #router: ChangeRouter;
  readonly #applications: ReturnType<typeof createLRU<string, ApplicationLimiter>>;
  readonly #active = new Set<ApplicationLimiter>();
  readonly #own: ApplicationLimiter | undefined;
  readonly #onSigterm = () => void this.#closeAndEnd();
  #ticker: NodeJS.Timeout | undefined;
  /** Returns of leases of applications that were evicted. */
  readonly #returning = new Set<Promise<void>>();
  #outages = 0;
  #uncharged = 0;
  #closing: Promise<void> | undefined;

  constructor(options: LimiterOptions) {
    validateLimiterOptions(options);
    const timeoutMs = options.timeoutMs ?? 2_000;
    this.#options = options;
    this.#log = options.logger ?? defaultLogger();
    this.#connections = openConnections(options.connection, timeoutMs, this.#log);
    this.#store = new Store(this.#connections, timeoutMs, this.#noteStore.bind(this));
    this.#loader = new ConfigLoader(this.#store, timeoutMs);
    const holder = holderOf(options);
    this.#exchange = new LeaseExchange(this.#store, holder, timeoutMs);
    this.#reporter = new ProcessReporter(this.#store, holder.holder, () => ({
      applications: this.#active.size,
      databaseCalls: this.#store.status.calls,
      outages: this.#outages,
      uncharged: this.#uncharged,
    }));
    this.#applications = createLRU({
      max: options.maxApplications ?? 10_000,
      onEviction: (_, limiter) => this.#letGo(limiter),
    });
    this.#router = new ChangeRouter(() => this.#all(), {
      reload: (limiter) => this.#reload(limiter),
      recheck: (limiter) => this.#recheck(limiter),
      reloadCosts: () => this.#loader.reloadCosts(),
    });
    this.#changes = new Changes(
      this.#connections,
      this.#log,
      (change) => {
        this.#options.hooks?.onChange?.(change);
        this.#router.note(change);
      },
      () => this.#router.noteGap(),
    );
    const name = ownName(options);
    if (name !== undefined) this.#own = this.application(name);
    void this.#changes.start();
    if (options.closeOnSigterm) process.once("SIGTERM", this.#onSigterm);
  }

  /** See ApplicationLimiter.check. */
  check(operation: string, sizeBytes: number | null = 0): Decision {
    return (this.#own ?? this.#noName()).check(operation, sizeBytes);
  }

  async checkAsync(
    operation: string,
    sizeBytes: number | null = 0,
    options: CheckOptions = {},
  ): Promise<Decision> {
    return (this.#own ?? this.#noName()).checkAsync(operation, sizeBytes, options);
  }

  async acquire(
    operation: string,
    sizeBytes: number | null = 0,
    options: AcquireOptions = {},
  ): Promise<Decision> {
    return (this.#own ?? this.#noName()).acquire(operation, sizeBytes, options);
  }

  async settle(reference: string, actualSize: number): Promise<Settlement> {
    return (this.#own ?? this.#noName()).settle(reference, actualSize);
  }

  async refund(reference: string): Promise<boolean> {
    return (this.#own ?? this.#noName()).refund(reference);
  }

  settleLeased(leased: LeasedOperation, actualSize: number): void {
    (this.#own ?? this.#noName()).settleLeased(leased, actualSize);
  }

  refundLeased(leased: LeasedOperation): void {
    (this.#own ?? this.#noName()).refundLeased(leased);
  }

  async ready(): Promise<void> {
    return (this.#own ?? this.#noName()).ready();
  }

  /** The limiter of one of many applications; cached by name. */
  application(name: ApplicationName): ApplicationLimiter {
    if (this.#closing !== undefined) throw new ClosedError();
    const key = "apiKey" in name ? `key ${name.apiKey}` : `id ${name.application}`;
    const known = this.#applications.get(key);
    if (known !== undefined) return known;
    const shared = { store: this.#store, loader: this.#loader, exchange: this.#exchange };
    const limiter = new ApplicationLimiter(shared, name, {
      idleMs: this.#options.idleMs ?? 1_000,
      outage: { ...defaultOutagePolicy, ...this.#options.outage },
      pollMs: () => this.#pollMs(),
      onUse: (used) => this.#lookAfter(key, used),
      onUncharged: () => {
        this.#uncharged += 1;
      },
      onDecision: this.#options.hooks?.onDecision,
    });
    this.#applications.set(key, limiter);
    return limiter;
  }

  status(): LimiterStatus & { readonly own: ApplicationStatus | undefined } {
    const { isDown, calls, failures, lastError } = this.#store.status;
    return {
      changes: this.#changes.isHeard ? "listening" : "polling",
      isDown,
      storeCalls: calls,
      storeFailures: failures,
      outages: this.#outages,
      applications: this.#applications.size,
      lastError,
      own: this.#own?.status(),
    };
  }

  /**
   * Settles all leases and closes the connections, within five seconds even where the database does
   * not answer. Repeated calls return the same promise.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    clearInterval(this.#ticker);
    process.off("SIGTERM", this.#onSigterm);
    this.#changes.stop();
    this.#router.close();
    const closing = [...this.#all()].map((limiter) => limiter.close());
    await within(closeMs, Promise.all([...closing, ...this.#returning, this.#reporter.end()]));
    this.#store.close();
    this.#active.clear();
    this.#applications.clear();
    await this.#connections.close();
  }

  async #closeAndEnd(): Promise<void> {
    ending.add(this);
    await this.close();
    ending.delete(this);
    if (ending.size > 0) return;
    // A SIGTERM handler disables the default action.
    if (process.listenerCount("SIGTERM") === 0) process.kill(process.pid, "SIGTERM");
  }

  #noName(): never {
    throw new InvalidRequestError("QS400", "no application", {
      hint: "Give createLimiter an apiKey or an application, or use limiter.application().",
    });
  }

  #pollMs(): number {
    const pollMs = this.#options.pollMs ?? 5_000;
    return this.#changes.isHeard ? Math.max(netPollMs, pollMs) : pollMs;
  }

  /** It holds state now: tick it, and include it in change notifications. */
  #lookAfter(key: string, limiter: ApplicationLimiter): void {
    if (this.#closing !== undefined) return;
    this.#active.add(limiter);
    this.#router.index(limiter);
    if (!this.#applications.has(key)) this.#applications.set(key, limiter);
    this.#ticker ??= setInterval(() => this.#tick(), tickMs).unref();
  }

  #letGo(limiter: ApplicationLimiter): void {
    this.#active.delete(limiter);
    this.#router.remove(limiter);
    // The caller may still use it, and it receives no notifications until then.
    const returned = limiter.letGo().finally(() => this.#returning.delete(returned));
    this.#returning.add(returned);
  }

  /** Includes those in use that were evicted from the cache. */
  #all(): Set<ApplicationLimiter> {
    return new Set([...this.#applications.values(), ...this.#active]);
  }

  #tick(): void {
    const now = performance.now();
    for (const limiter of this.#active) {
      if (!limiter.tick(now)) this.#active.delete(limiter);
    }
    if (this.#active.size > 0) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }

  #reload(limiter: ApplicationLimiter): void {
    if (this.#active.has(limiter)) void limiter.reloadConfig();
    else limiter.forgetConfig();
  }

  #recheck(limiter: ApplicationLimiter): void {
    if (this.#active.has(limiter)) void limiter.refresh();
    else limiter.forgetConfig();
  }

  #noteStore(isDown: boolean, error: LimiterError | undefined): void {
    if (isDown && error !== undefined) {
      this.#outages += 1;
      this.#log.warn({ err: error, detail: error.detail }, "the database does not answer");
      this.#options.hooks?.onOutage?.(error);
    } else {
      this.#log.info("the database answers again");
      this.#options.hooks?.onRecovery?.();
    }
  }
}

/** Throws an InvalidRequestError where an option is unknown or invalid. */
export function createLimiter(options: LimiterOptions): Limiter {
  return new Limiter(options);
}

function ownName({ apiKey, application }: LimiterOptions): ApplicationName | undefined {
  if (apiKey !== undefined) return { apiKey };
  return application === undefined ? undefined : { application };
}

function holderOf({ holder, leaseMs }: LimiterOptions): LeaseHolder {
  const unique = `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`;
  return { holder: holder ?? unique, lifetimeMs: leaseMs ?? null };
}
