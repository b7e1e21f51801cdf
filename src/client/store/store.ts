import { fromDatabase, type LimiterError, UnavailableError, unavailable } from "../errors.ts";
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
/** Calls in turn that are under way at once. */
const mostInTurn = 64;

/**
 * The database as this process sees it: every call has a deadline, and after one that nobody
 * answered nobody calls for a while, longer each time.
 */
export class Store {
  readonly #sql: Sql;
  readonly #timeoutMs: number;
  readonly #onChange: (isDown: boolean, error: LimiterError | undefined) => void;
  #calls = 0;
  #failures = 0;
  #failuresInARow = 0;
  #downSince: number | undefined;
  #nextTryAt = 0;
  #lastError: LimiterError | undefined;
  #inTurn = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(
    sql: Sql,
    timeoutMs: number,
    onChange: (isDown: boolean, error: LimiterError | undefined) => void,
  ) {
    this.#sql = sql;
    this.#timeoutMs = timeoutMs;
    this.#onChange = onChange;
  }

  /** Rejects with a LimiterError. */
  async call<T>(statement: (sql: Sql) => Promise<T>): Promise<T> {
    this.#calls += 1;
    try {
      const answer = await this.#inTime(statement(this.#sql));
      this.#answered();
      return answer;
    } catch (error) {
      const typed = fromDatabase(error);
      if (typed instanceof UnavailableError) this.#failed(typed);
      else this.#answered();
      throw typed;
    }
  }

  /**
   * The same for what anybody can make up, such as a key: a few at once, so that no crowd of them
   * keeps others waiting, and is late itself, which would be an outage.
   */
  async callInTurn<T>(statement: (sql: Sql) => Promise<T>): Promise<T> {
    if (this.#inTurn < mostInTurn) this.#inTurn += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      if (this.isPaused(performance.now())) throw unavailable();
      return await this.call(statement);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#inTurn -= 1;
      else next();
    }
  }

  /** Whether to leave the database alone for now. */
  isPaused(now: number): boolean {
    return this.#downSince !== undefined && now < this.#nextTryAt;
  }

  get status(): StoreStatus {
    return {
      isDown: this.#downSince !== undefined,
      downSince: this.#downSince,
      nextTryAt: this.#nextTryAt,
      calls: this.#calls,
      failures: this.#failures,
      lastError: this.#lastError,
    };
  }

  async #inTime<T>(answer: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(unavailable(`no answer in ${this.#timeoutMs} ms`));
      }, this.#timeoutMs);
      timer.unref();
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #answered(): void {
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
    this.#downSince ??= now;
    // Calls that were under way together count once.
    if (wasUp || now >= this.#nextTryAt) {
      const pause = Math.min(firstPauseMs * 2 ** this.#failuresInARow, longestPauseMs);
      this.#failuresInARow += 1;
      this.#nextTryAt = now + pause * (0.5 + Math.random() / 2);
    }
    if (wasUp) this.#onChange(true, error);
  }
}
