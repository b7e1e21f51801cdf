import {
  ClosedError,
  fromDatabase,
  type LimiterError,
  UnavailableError,
  unavailable,
} from "../errors.ts";
import { isLeaving, kindOf } from "./classify-error.ts";
import type { Connections } from "./connections.ts";
import { Deadline } from "./deadline.ts";
import { proveWritable } from "./prove-writable.ts";
import { Slots } from "./slots.ts";
import type { Sql } from "./sql.ts";

export interface StoreStatus {
  readonly isDown: boolean;
  /** On the monotonic clock. */
  readonly downSince: number | undefined;
  readonly nextTryAt: number;
  readonly calls: number;
  readonly failures: number;
  readonly lastError: LimiterError | undefined;
}

const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** A database that cannot be charged fails again within this time, if anything asks it. */
const relapseMs = 10_000;
const attempts = 3;

type Statement<T> = (sql: Sql) => Promise<T>;
type OnChange = (isDown: boolean, error: LimiterError | undefined) => void;

/**
 * The database as this process sees it. A call has a deadline from when it gets a connection. After
 * an outage the store pauses, longer each time, and then one call tries whether it is over.
 */
export class Store {
  readonly #connections: Connections;
  readonly #timeoutMs: number;
  readonly #onChange: OnChange;
  readonly #slots: Slots;
  #calls = 0;
  #failures = 0;
  #failuresInARow = 0;
  #downSince: number | undefined;
  /** When charging failed first, until a charge has succeeded. */
  #unchargedSince: number | undefined;
  /** When an outage ended without a charge. */
  #endedUnchargedAt = Number.NEGATIVE_INFINITY;
  #nextTryAt = 0;
  #isTrying = false;
  #lastError: LimiterError | undefined;
  #isClosed = false;

  constructor(connections: Connections, timeoutMs: number, onChange: OnChange) {
    this.#connections = connections;
    this.#timeoutMs = timeoutMs;
    this.#onChange = onChange;
    this.#slots = new Slots(connections.size);
  }

  /** A call that reads. Its success does not end an outage. Rejects with a LimiterError. */
  read<T>(statement: Statement<T>): Promise<T> {
    return this.#call(statement, false, undefined);
  }

  /**
   * The same with unverified input, such as a key: the number of such calls in flight is bounded,
   * so that a crowd of invalid keys does not delay other calls.
   */
  readUnverified<T>(statement: Statement<T>): Promise<T> {
    return this.#call(statement, true, undefined);
  }

  /**
   * A call that charges. Only such a call ends an outage: one that charged, or an answer without a
   * charge, such as a denial, of a database that can write. In the latter case, if charges
   * fail again within ten seconds, `downSince` is that of the outage before.
   */
  charge<T>(statement: Statement<T>, hasCharged: (answer: T) => boolean = () => true): Promise<T> {
    return this.#call(statement, false, hasCharged);
  }

  /** Whether calls are paused after a failure, or another call tries whether the outage is over. */
  isPaused(now: number): boolean {
    return this.#downSince !== undefined && (this.#isTrying || now < this.#nextTryAt);
  }

  /** Calls that wait or are in flight are rejected; that is not an outage. */
  close(): void {
    this.#isClosed = true;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isDown(): boolean {
    return this.#downSince !== undefined;
  }

  get status(): StoreStatus {
    return {
      isDown: this.isDown,
      downSince: this.#downSince,
      nextTryAt: this.#nextTryAt,
      calls: this.#calls,
      failures: this.#failures,
      lastError: this.#lastError,
    };
  }

  async #call<T>(
    statement: Statement<T>,
    isUnverified: boolean,
    hasCharged: ((answer: T) => boolean) | undefined,
  ): Promise<T> {
    const release = await this.#slots.take(isUnverified);
    try {
      this.#throwIfUnable();
    } catch (error) {
      release();
      throw error;
    }
    const isTrying = this.#downSince !== undefined;
    this.#isTrying ||= isTrying;
    this.#calls += 1;
    try {
      const answer = await this.#attempt(statement);
      if (hasCharged?.(answer)) this.#charged();
      else if (isTrying && hasCharged !== undefined) await this.#endIfWritable();
      return answer;
    } catch (error) {
      if (this.#isClosed) throw new ClosedError();
      const typed = fromDatabase(error);
      if (typed instanceof UnavailableError) this.#failed(typed);
      throw typed;
    } finally {
      if (isTrying) this.#isTrying = false;
      release();
    }
  }

  #throwIfUnable(): void {
    if (this.#isClosed) throw new ClosedError();
    if (this.isPaused(performance.now())) throw this.#lastError ?? unavailable();
  }

  async #attempt<T>(statement: Statement<T>): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(statement);
      } catch (error) {
        const kind = kindOf(error);
        const isRepeatable = kind === "conflict" || kind === "stale" || isLeaving(error);
        if (this.#isClosed || !isRepeatable || attempt === attempts) throw error;
      }
    }
  }

  async #once<T>(statement: Statement<T>): Promise<T> {
    const deadline = new Deadline(this.#timeoutMs);
    try {
      return await this.#connections.run(statement, deadline);
    } finally {
      deadline.clear();
    }
  }

  /** An answer without a charge, such as a denial, may come from a database that cannot write. */
  async #endIfWritable(): Promise<void> {
    await this.#once(proveWritable);
    this.#endedUnchargedAt = performance.now();
    this.#ended();
  }

  #charged(): void {
    this.#unchargedSince = undefined;
    this.#ended();
  }

  #ended(): void {
    this.#failuresInARow = 0;
    if (this.#downSince === undefined) return;
    this.#downSince = undefined;
    this.#onChange(false, undefined);
  }

  #failed(error: LimiterError): void {
    const now = performance.now();
    const wasUp = this.#downSince === undefined;
    this.#failures += 1;
    this.#lastError = error;
    if (wasUp && now - this.#endedUnchargedAt > relapseMs) this.#unchargedSince = undefined;
    this.#unchargedSince ??= now;
    this.#downSince ??= this.#unchargedSince;
    // Concurrent calls that fail together count once.
    if (wasUp || now >= this.#nextTryAt) {
      const pause = Math.min(firstPauseMs * 2 ** this.#failuresInARow, longestPauseMs);
      this.#failuresInARow += 1;
      this.#nextTryAt = now + pause * (0.5 + Math.random() / 2);
    }
    if (wasUp) this.#onChange(true, error);
  }
}
