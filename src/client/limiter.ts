import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { LRUCache } from "lru-cache";
import { type Logger, logFor } from "../log.ts";
import { ApplicationLimiter, type Spent } from "./application-limiter.ts";
import { type Change, Changes } from "./changes.ts";
import type { Decision } from "./decision.ts";
import { ClosedError, InvalidRequestError, type LimiterError } from "./errors.ts";
import { defaultOutagePolicy, type OutagePolicy } from "./outage.ts";
import type { ApplicationStatus, LimiterStatus } from "./status.ts";
import { openPool } from "./store/open-pool.ts";
import type { Settlement } from "./store/settle.ts";
import type { Sql } from "./store/sql.ts";
import { Store } from "./store/store.ts";
import type { ApplicationName } from "./terms.ts";

const tickMs = 100;
/** Over so long everybody's requests are spread where everybody has to ask. */
const everybodyMs = 300;
/** Where changes are told, looking for them is a safety net. */
const netPollMs = 60_000;

export interface LimiterOptions {
  /** A URL, for a pool of the limiter's own, or a pool of porsager/postgres, which stays open. */
  readonly connection: string | Sql;
  /** Whose requests check() and its siblings decide on; others through application(). */
  readonly apiKey?: string;
  readonly application?: string;
  /** Names this process in the leases that it holds. */
  readonly holder?: string;
  readonly outage?: Partial<OutagePolicy>;
  /** Life of a lease; without it the setting lease_seconds counts. */
  readonly leaseMs?: number;
  /** A lease that nothing was spent of for so long goes back. */
  readonly idleMs?: number;
  /** How often to look for changes where notifications do not pass. */
  readonly pollMs?: number;
  /** A call that takes longer counts as an outage. */
  readonly timeoutMs?: number;
  /** Applications that are kept at hand. */
  readonly maxApplications?: number;
  /** Close when the process is asked to end. */
  readonly closeOnSigterm?: boolean;
  readonly hooks?: LimiterHooks;
  readonly logger?: Logger;
}

/** For metrics and traces; what they throw is the caller's own. */
export interface LimiterHooks {
  readonly onOutage?: (error: LimiterError) => void;
  readonly onRecovery?: () => void;
  readonly onChange?: (change: Change) => void;
}

/** Those that close because the process is asked to end: it ends when the last of them has. */
const ending = new Set<Limiter>();

/** Decides on storage operations out of leases; one for each process. */
export class Limiter {
  readonly #sql: Sql;
  readonly #ownsPool: boolean;
  readonly #options: LimiterOptions;
  readonly #log: Logger;
  readonly #store: Store;
  readonly #changes: Changes;
  readonly #applications: LRUCache<string, ApplicationLimiter>;
  readonly #active = new Set<ApplicationLimiter>();
  readonly #own: ApplicationLimiter | undefined;
  readonly #holder: string;
  readonly #onSigterm = () => void this.#closeAndEnd();
  #ticker: NodeJS.Timeout | undefined;
  #outages = 0;
  #closing: Promise<void> | undefined;

  constructor(options: LimiterOptions) {
    this.#options = options;
    this.#log = options.logger ?? logFor("client");
    this.#ownsPool = typeof options.connection === "string";
    this.#sql =
      typeof options.connection === "string" ? openPool(options.connection) : options.connection;
    this.#holder = options.holder ?? `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`;
    this.#store = new Store(this.#sql, options.timeoutMs ?? 2_000, this.#noteStore.bind(this));
    this.#applications = new LRUCache({
      max: options.maxApplications ?? 10_000,
      dispose: (limiter) => void this.#letGo(limiter),
    });
    this.#changes = new Changes(
      this.#sql,
      this.#log,
      (change) => this.#noteChange(change),
      () => this.#refreshAll(),
    );
    const name = ownName(options);
    if (name !== undefined) this.#own = this.application(name);
    void this.#changes.start();
    if (options.closeOnSigterm) process.once("SIGTERM", this.#onSigterm);
  }

  /** See ApplicationLimiter.check. */
  check(operation: string, sizeBytes = 0): Decision {
    return (this.#own ?? this.#noName()).check(operation, sizeBytes);
  }

  checkAsync(
    operation: string,
    sizeBytes = 0,
    options: { readonly reference?: string } = {},
  ): Promise<Decision> {
    return (this.#own ?? this.#noName()).checkAsync(operation, sizeBytes, options);
  }

  settle(reference: string, actualSize: number): Promise<Settlement> {
    return (this.#own ?? this.#noName()).settle(reference, actualSize);
  }

  refund(reference: string): Promise<boolean> {
    return (this.#own ?? this.#noName()).refund(reference);
  }

  settleSpent(spent: Spent, actualSize: number): void {
    (this.#own ?? this.#noName()).settleSpent(spent, actualSize);
  }

  refundSpent(spent: Spent): void {
    (this.#own ?? this.#noName()).refundSpent(spent);
  }

  ready(): Promise<void> {
    return (this.#own ?? this.#noName()).ready();
  }

  /** The limiter of one of many applications; the same one as long as it is kept at hand. */
  application(name: ApplicationName): ApplicationLimiter {
    if (this.#closing !== undefined) throw new ClosedError();
    const key = "apiKey" in name ? `key ${name.apiKey}` : `id ${name.application}`;
    const known = this.#applications.get(key);
    if (known !== undefined) return known;
    const limiter = new ApplicationLimiter(this.#store, name, {
      holder: this.#holder,
      leaseMs: this.#options.leaseMs ?? null,
      idleMs: this.#options.idleMs ?? 1_000,
      outage: { ...defaultOutagePolicy, ...this.#options.outage },
      pollMs: () => this.#pollMs(),
      onUse: (used) => this.#lookAfter(key, used),
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

  /** Gives back what is held and lets go of the database. Doing it again waits for the first. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#ticker);
    process.off("SIGTERM", this.#onSigterm);
    await this.#changes.stop();
    await Promise.all([...this.#everybody()].map((limiter) => limiter.close()));
    this.#active.clear();
    this.#applications.clear();
    if (this.#ownsPool) await this.#sql.end({ timeout: 5 });
  }

  async #closeAndEnd(): Promise<void> {
    ending.add(this);
    await this.close();
    ending.delete(this);
    if (ending.size > 0) return;
    // With a handler of ours the process no longer ends by itself.
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

  /** It holds something now: tick it, and keep it among those that are told of changes. */
  #lookAfter(key: string, limiter: ApplicationLimiter): void {
    if (this.#closing !== undefined) return;
    this.#active.add(limiter);
    if (!this.#applications.has(key)) this.#applications.set(key, limiter);
    this.#ticker ??= setInterval(() => this.#tick(), tickMs).unref();
  }

  #letGo(limiter: ApplicationLimiter): void {
    this.#active.delete(limiter);
    void limiter.handBack();
    // Whoever kept it may use it again, and nobody tells it of changes until then.
    limiter.forgetTerms();
  }

  /** Also those that are in use though others took their places. */
  #everybody(): Set<ApplicationLimiter> {
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

  #noteChange(change: Change): void {
    this.#options.hooks?.onChange?.(change);
    for (const limiter of this.#everybody()) {
      if (!limiter.isAbout(change.owner_id)) continue;
      // What concerns everybody must not make everybody ask in the same moment.
      const delay = change.owner_id === null ? everybodyMs * Math.random() : 0;
      this.#readAgain(limiter, delay);
    }
  }

  #readAgain(limiter: ApplicationLimiter, delayMs: number): void {
    if (!this.#active.has(limiter)) limiter.forgetTerms();
    else if (delayMs === 0) void limiter.renewTerms();
    else setTimeout(() => void limiter.renewTerms(), delayMs).unref();
  }

  #refreshAll(): void {
    for (const limiter of this.#everybody()) this.#readAgain(limiter, 0);
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

export function createLimiter(options: LimiterOptions): Limiter {
  return new Limiter(options);
}

function ownName({ apiKey, application }: LimiterOptions): ApplicationName | undefined {
  if (apiKey !== undefined) return { apiKey };
  return application === undefined ? undefined : { application };
}
