import {
  ClosedError,
  deniesApplication,
  InvalidRequestError,
  type LimiterError,
  UnauthorizedError,
  unavailable,
} from "../errors.ts";
import type { Store } from "../store/store.ts";
import type { ApplicationConfig, ApplicationName } from "./application-config.ts";
import type { ConfigLoader } from "./config-loader.ts";

/** The config of one application, or the error that the database has for it. */
export class ConfigCache {
  readonly #store: Store;
  readonly #loader: ConfigLoader;
  readonly #name: ApplicationName;
  readonly #onRead: (before: ApplicationConfig | undefined) => void;
  readonly #onRejected: () => Promise<void>;
  #config: ApplicationConfig | undefined;
  /** Kept while leases may have to be settled, even if the config is dropped. */
  #application: string | undefined;
  #error: LimiterError | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;
  #isOutdated = false;
  #isClosed = false;

  constructor(
    store: Store,
    loader: ConfigLoader,
    name: ApplicationName,
    on: {
      /** `before`: what was known until now. */
      readonly read: (before: ApplicationConfig | undefined) => void;
      readonly rejected: () => Promise<void>;
    },
  ) {
    this.#store = store;
    this.#loader = loader;
    this.#name = name;
    this.#onRead = on.read;
    this.#onRejected = on.rejected;
  }

  get config(): ApplicationConfig | undefined {
    return this.#config;
  }

  get application(): string | undefined {
    return this.#application;
  }

  get error(): LimiterError | undefined {
    return this.#error;
  }

  get isUsable(): boolean {
    return !this.#isClosed && this.#error === undefined;
  }

  /** Throws where the application cannot be used; whether it can be again is looked up. */
  throwIfUnusable(): void {
    if (this.#isClosed) throw new ClosedError();
    if (this.#error === undefined) return;
    this.refreshAtMostOnceASecond();
    throw this.#error;
  }

  isOlderThan(ms: number, now: number): boolean {
    return now - this.#readAt >= ms;
  }

  /** Throws where the config cannot be read. */
  async known(): Promise<ApplicationConfig> {
    if (this.#isClosed) throw new ClosedError();
    if (this.#config === undefined) await this.refresh();
    this.throwIfUnusable();
    if (this.#config === undefined) throw this.#store.status.lastError ?? unavailable();
    return this.#config;
  }

  /** Reads it again. A change notified meanwhile triggers another read. Never rejects. */
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

  /** The config may have been dropped: reads it again, and calls back where it is known then. */
  async whenKnown(work: () => void): Promise<void> {
    await this.refresh();
    try {
      if (this.#config !== undefined && !this.#isClosed) work();
    } catch {
      // An operation that was deleted costs nothing.
    }
  }

  refreshAtMostOnceASecond(): void {
    if (this.isOlderThan(1_000, performance.now())) void this.refresh();
  }

  /** The key ends by the clock: it is rejected at once, and looked up again. */
  checkKey(now: number): void {
    if (this.#error !== undefined || now < (this.#config?.keyValidUntil ?? now + 1)) return;
    void this.reject(
      new UnauthorizedError("QS401", "api key has expired", {
        hint: "Use the key that replaced it, or have a new one made.",
      }),
    );
    void this.refresh();
  }

  async reject(error: LimiterError): Promise<void> {
    this.#error = error;
    await this.#onRejected();
  }

  drop(): void {
    this.#error = undefined;
    this.#config = undefined;
  }

  close(): void {
    this.#isClosed = true;
  }

  async #read(): Promise<void> {
    const now = performance.now();
    this.#readAt = now;
    if (this.#store.isPaused(now)) return;
    try {
      const config = await this.#loader.load(this.#name);
      const before = this.#config;
      this.#config = config;
      this.#application = config.application;
      this.#error = undefined;
      this.#onRead(before);
    } catch (error) {
      const typed = error as LimiterError;
      // A malformed key or id is an error too: no outage policy admits it.
      const isRejected = deniesApplication(typed) || typed instanceof InvalidRequestError;
      if (isRejected) await this.reject(typed);
    }
  }
}
