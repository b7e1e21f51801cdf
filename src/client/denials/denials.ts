import { decimalOf } from "../costs/amount.ts";
import { type Decision, denial, type Reason } from "../decisions/decision.ts";
import type { CountRow } from "../store/exchange-leases.ts";

/** Denials are cached no longer than this: credits and quota changes may admit earlier. */
const longestMemoryMs = 1_000;

interface Remembered {
  readonly reason: Reason;
  readonly tokens: number;
  readonly bytes: number;
  readonly retryAt: number | null;
  readonly until: number;
}

/**
 * Recent denials by the database. A request that needs at least as much is denied locally until
 * the bucket that was short can have refilled.
 */
export class RecentDenials {
  readonly #remembered = new Map<Reason, Remembered>();

  remember(
    reason: Reason,
    retryAfterMs: number | null,
    need: { readonly tokens: number; readonly bytes: number },
    now: number,
  ): void {
    this.#remembered.set(reason, {
      reason,
      ...need,
      retryAt: retryAfterMs === null ? null : now + retryAfterMs,
      until: now + Math.min(retryAfterMs ?? longestMemoryMs, longestMemoryMs),
    });
  }

  find(tokens: number, bytes: number, now: number): Decision | undefined {
    for (const known of this.#remembered.values()) {
      if (known.until > now && needsAsMuch(known, tokens, bytes)) {
        const wait = known.retryAt === null ? null : Math.ceil(known.retryAt - now);
        return denial(known.reason, wait, 0);
      }
    }
    return undefined;
  }

  clear(): void {
    this.#remembered.clear();
  }
}

function needsAsMuch(known: Remembered, tokens: number, bytes: number): boolean {
  if (known.reason.startsWith("iops")) return tokens >= known.tokens;
  if (known.reason.startsWith("bandwidth")) return bytes >= known.bytes;
  return tokens >= known.tokens && bytes >= known.bytes;
}

export interface DenialCount {
  readonly minute: string;
  readonly reason: string;
  /** Whose totals of the minute these are: handed in again, they count once. */
  readonly counter: string;
  readonly operations: number;
  /** Millionths. */
  readonly tokens: number;
  readonly bytes: number;
}

/** For SQL. */
export function denialRows(counts: readonly DenialCount[] | null): CountRow[] | null {
  return counts?.map((count) => ({ ...count, tokens: decimalOf(count.tokens) })) ?? null;
}

/** Bound on the totals kept while the database is unreachable. */
const mostCounts = 60;
/** A total that was handed in is forgotten after this time: it grows no more. */
const longestMinuteMs = 180_000;

/** Counts of local denials by minute and reason, as totals, which are reported when they change. */
export class DenialCounts {
  readonly #counter = crypto.randomUUID();
  readonly #totals = new Map<string, DenialCount>();
  #changed = new Set<string>();

  add(reason: string, tokens: number, bytes: number, epochMs: number): void {
    const minute = new Date(Math.floor(epochMs / 60_000) * 60_000).toISOString();
    const key = keyOf({ minute, reason });
    const known = this.#totals.get(key);
    if (known === undefined) this.#forgetOld(epochMs);
    if (known === undefined && this.#totals.size >= mostCounts) return;
    this.#changed.add(key);
    this.#totals.set(key, {
      ...{ minute, reason, counter: this.#counter },
      operations: 1 + (known?.operations ?? 0),
      tokens: sum(tokens, known?.tokens ?? 0),
      bytes: sum(bytes, known?.bytes ?? 0),
    });
  }

  get isEmpty(): boolean {
    return this.#changed.size === 0;
  }

  /** Answers the totals that have changed, for a call; null if none has. */
  take(): readonly DenialCount[] | null {
    if (this.isEmpty) return null;
    const rows = [...this.#changed].flatMap((key) => this.#totals.get(key) ?? []);
    this.#changed = new Set();
    return rows;
  }

  /** The call failed: report them with the next one. */
  putBack(rows: readonly DenialCount[] | null): void {
    for (const row of rows ?? []) if (this.#totals.has(keyOf(row))) this.#changed.add(keyOf(row));
  }

  #forgetOld(epochMs: number): void {
    for (const [key, { minute }] of this.#totals) {
      const isOver = Math.abs(epochMs - Date.parse(minute)) > longestMinuteMs;
      if (isOver && !this.#changed.has(key)) this.#totals.delete(key);
    }
  }
}

function keyOf({ minute, reason }: Pick<DenialCount, "minute" | "reason">): string {
  return `${minute} ${reason}`;
}

function sum(a: number, b: number): number {
  return Math.min(a + b, Number.MAX_SAFE_INTEGER);
}
