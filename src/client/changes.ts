import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../log.ts";
import type { Sql } from "./store/sql.ts";

const channel = "rate_limiter_changes";
const probeMs = 2_000;
const stopMs = 500;

export interface Change {
  readonly kind: string;
  readonly owner_id: string | null;
}

/**
 * Hears of changes by LISTEN. Whether that works is tried out, at every connection: a pooler in
 * transaction mode takes the LISTEN and passes nothing on.
 */
export class Changes {
  readonly #sql: Sql;
  readonly #log: Logger;
  readonly #onChange: (change: Change) => void;
  /** Whatever was told while nobody listened is lost. */
  readonly #onGap: () => void;
  readonly #probe = `probe ${Math.random()}`;
  #hearing: Promise<{ unlisten: () => Promise<void> }> | undefined;
  #isHeard = false;
  #isClosed = false;

  constructor(sql: Sql, log: Logger, onChange: (change: Change) => void, onGap: () => void) {
    this.#sql = sql;
    this.#log = log;
    this.#onChange = onChange;
    this.#onGap = onGap;
  }

  get isHeard(): boolean {
    return this.#isHeard;
  }

  /** Never rejects: without notifications there is polling. */
  async start(): Promise<void> {
    this.#hearing = this.#sql.listen(
      channel,
      (payload) => this.#hear(payload),
      () => void this.#tryOut(),
    );
    await this.#hearing.catch((error) => {
      this.#log.warn({ err: error }, "no notifications of changes: looking for them instead");
    });
  }

  /** Waits a moment only: a database that is out of reach answers no UNLISTEN. */
  async stop(): Promise<void> {
    this.#isClosed = true;
    const stopped = this.#hearing?.then((listener) => listener.unlisten()).catch(() => undefined);
    await Promise.race([stopped, sleep(stopMs, undefined, { ref: false })]);
  }

  #hear(payload: string): void {
    if (this.#isClosed) return;
    const change = changeOf(payload);
    if (change?.kind === this.#probe) this.#isHeard = true;
    else if (change !== undefined && !change.kind.startsWith("probe")) this.#onChange(change);
  }

  async #tryOut(): Promise<void> {
    this.#isHeard = false;
    this.#onGap();
    try {
      await this.#sql.notify(channel, JSON.stringify({ kind: this.#probe, owner_id: null }));
    } catch (error) {
      this.#log.debug({ err: error }, "could not try notifications out");
    }
    const timer = setTimeout(() => {
      if (!this.#isHeard && !this.#isClosed) {
        this.#log.warn("notifications do not arrive: looking for changes instead");
      }
    }, probeMs);
    timer.unref();
  }
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
