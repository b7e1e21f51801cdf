import { decimalOf } from "./amount.ts";
import { type Decision, denial, type Reason } from "./decision.ts";
import type { DenialRow } from "./store/exchange-leases.ts";

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
  readonly operations: number;
  /** Millionths. */
  readonly tokens: number;
  readonly bytes: number;
}

/** For SQL. */
export function denialRows(counts: readonly DenialCount[] | null): DenialRow[] | null {
  return counts?.map((count) => ({ ...count, tokens: decimalOf(count.tokens) })) ?? null;
}

/** Bound on the counts kept while the database is unreachable. */
const mostCounts = 60;

/** Counts of local denials, by minute and reason, until they are reported. */
export class DenialCounts {
  #counts = new Map<string, DenialCount>();

  add(reason: string, tokens: number, bytes: number, epochMs: number): void {
    const minute = new Date(Math.floor(epochMs / 60_000) * 60_000).toISOString();
    this.#merge({ minute, reason, operations: 1, tokens, bytes });
  }

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }

  /** Removes and answers the counts for a call; null if there are none. */
  take(): readonly DenialCount[] | null {
    if (this.#counts.size === 0) return null;
    const rows = [...this.#counts.values()];
    this.#counts = new Map();
    return rows;
  }

  /** The call failed: report them with the next one. */
  putBack(rows: readonly DenialCount[] | null): void {
    for (const row of rows ?? []) this.#merge(row);
  }

  #merge(row: DenialCount): void {
    const key = `${row.minute} ${row.reason}`;
    const known = this.#counts.get(key);
    if (known === undefined && this.#counts.size >= mostCounts) return;
    this.#counts.set(key, {
      ...row,
      operations: row.operations + (known?.operations ?? 0),
      tokens: sum(row.tokens, known?.tokens ?? 0),
      bytes: sum(row.bytes, known?.bytes ?? 0),
    });
  }
}

function sum(a: number, b: number): number {
  return Math.min(a + b, Number.MAX_SAFE_INTEGER);
}
