import { setTimeout as sleep } from "node:timers/promises";
import { unavailable } from "../errors.ts";
import type { ClientLogger } from "../options/logger.ts";
import type { Connections, ListenConnection } from "../store/connections.ts";

const channel = "rate_limiter_changes";
/** A connection that died silently is noticed within twice this time. */
const pingMs = 2_000;
const answerMs = 2_000;
const shortestPauseMs = 100;
const longestPauseMs = 5_000;

export interface Change {
  readonly kind: string;
  readonly owner_id: string | null;
}

/**
 * Receives change notifications by LISTEN, on a connection that is tried out every two seconds.
 * Each one is probed with a NOTIFY: a pooler in transaction mode accepts LISTEN and delivers
 * nothing.
 */
export class Changes {
  readonly #connections: Connections;
  readonly #log: ClientLogger;
  readonly #onChange: (change: Change) => void;
  /** Notifications sent while not listening are lost. */
  readonly #onGap: () => void;
  readonly #probeChannel = `qos_probe_${crypto.randomUUID()}`;
  readonly #closed = new AbortController();
  #connection: ListenConnection | undefined;
  #isHeard = false;
  #isLost = false;
  #onProbe: (() => void) | undefined;

  constructor(
    connections: Connections,
    log: ClientLogger,
    onChange: (change: Change) => void,
    onGap: () => void,
  ) {
    this.#connections = connections;
    this.#log = log;
    this.#onChange = onChange;
    this.#onGap = onGap;
  }

  get isHeard(): boolean {
    return this.#isHeard;
  }

  /** Never rejects: without notifications the caller polls. */
  async start(): Promise<void> {
    let pause = shortestPauseMs;
    while (!this.#closed.signal.aborted) {
      try {
        await this.#open();
        pause = shortestPauseMs;
        await this.#keepAlive();
      } catch (error) {
        this.#log.debug({ err: error }, "the listening connection was lost");
      }
      this.#drop();
      await this.#pause(pause);
      pause = Math.min(pause * 2, longestPauseMs);
    }
  }

  stop(): void {
    this.#closed.abort();
    this.#drop();
  }

  async #open(): Promise<void> {
    this.#isLost = false;
    const opening = this.#connections.listen({
      onNotification: (name, payload) => this.#hear(name, payload),
      onLoss: () => this.#lose(),
    });
    const connection = await inTime(opening, (late) => late?.close());
    this.#connection = connection;
    if (this.#closed.signal.aborted) return this.#drop();
    if (connection === undefined) {
      this.#log.warn("the pool cannot listen: changes are polled");
      this.#closed.abort();
      return;
    }
    await inTime(connection.listen(channel));
    await inTime(connection.listen(this.#probeChannel));
    this.#onGap();
    this.#isHeard = await this.#probe(connection);
    if (!this.#isHeard && !this.#closed.signal.aborted) {
      this.#log.warn("notifications do not arrive: changes are polled");
    }
  }

  async #probe(connection: ListenConnection): Promise<boolean> {
    const heard = new Promise<boolean>((resolve) => {
      this.#onProbe = () => resolve(true);
    });
    await inTime(connection.notify(this.#probeChannel));
    return Promise.race([heard, sleep(answerMs, false, { ref: false })]);
  }

  async #keepAlive(): Promise<void> {
    while (!this.#isLost && !this.#closed.signal.aborted) {
      await this.#pause(pingMs);
      if (this.#connection === undefined || this.#closed.signal.aborted) return;
      await inTime(this.#connection.ping());
    }
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#closed;
    await sleep(ms, undefined, { ref: false, signal }).catch(() => {});
  }

  #lose(): void {
    this.#isLost = true;
    this.#isHeard = false;
  }

  #drop(): void {
    this.#isHeard = false;
    this.#connection?.close();
    this.#connection = undefined;
  }

  #hear(name: string, payload: string): void {
    if (this.#closed.signal.aborted) return;
    const isProbe = name === this.#probeChannel;
    if (isProbe) this.#onProbe?.();
    const change = isProbe ? undefined : changeOf(payload);
    if (change !== undefined) this.#onChange(change);
  }
}

/** What comes too late is handed to `discard`. */
async function inTime<T>(answer: Promise<T>, discard?: (late: T) => void): Promise<T> {
  const late = Symbol("late");
  const first = await Promise.race([answer, sleep(answerMs, late, { ref: false })]);
  if (first !== late) return first as T;
  answer.then(discard, () => {});
  throw unavailable(`no answer in ${answerMs} ms`);
}

function changeOf(payload: string): Change | undefined {
  try {
    const change: unknown = JSON.parse(payload);
    return isChange(change) ? change : undefined;
  } catch {
    return undefined;
  }
}

function isChange(value: unknown): value is Change {
  return (
    typeof value === "object" &&
    value !== null &&
    "kind" in value &&
    "owner_id" in value &&
    typeof value.kind === "string"
  );
}
