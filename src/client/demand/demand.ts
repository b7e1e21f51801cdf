import { decimalOf } from "../costs/amount.ts";
import type { CountRow } from "../store/exchange-leases.ts";
import { sizeClassOf } from "./size-class.ts";

/**
 * Operations, millionths of tokens and bytes since they were last added up, and the operations of
 * this second before that. A typed array, as a lease's balance is.
 */
type Cell = Float64Array & { 0: number; 1: number; 2: number; 3: number };

/** Of one operation, by size class. */
type Cells = (Cell | undefined)[];

/** What is counted together. */
interface Counted {
  readonly minute: string;
  readonly operation: string;
  readonly sizeClass: number;
  readonly isDenied: boolean;
}

interface Total extends Counted {
  operations: number;
  tokens: number;
  bytes: number;
  peak: number;
}

const minuteMs = 60_000;
const secondMs = 1_000;
/** Bounds on what is kept while the database is unreachable, and on what goes with one call. */
const mostTotals = 1_000;
const mostInCall = 500;
/** A total that was handed in is forgotten after this time: it grows no more. */
const longestMinuteMs = 180_000;
/** How long a minute that is over waits for a call about leases. */
const longestWaitMs = 10_000;

/**
 * Counts what this process decides by itself for one application, by minute, operation and size
 * class. Totals, under a name of its own, so that what is handed in again counts once.
 */
export class Demand {
  readonly #counter = crypto.randomUUID();
  readonly #admitted = new Map<string, Cells>();
  readonly #denied = new Map<string, Cells>();
  readonly #totals = new Map<string, Total>();
  readonly #changed = new Set<Total>();
  #addedUpAt = Number.NEGATIVE_INFINITY;

  count(operation: string, size: number, tokens: number, isDenied = false, times = 1): void {
    const cell = cellOf(this.#cellsOf(operation, isDenied), size);
    cell[0] += times;
    cell[1] += times * tokens;
    cell[2] += times * size;
  }

  /** Nothing is left to be handed in. */
  get isEmpty(): boolean {
    return this.#changed.size === 0 && !hasCounts(this.#admitted) && !hasCounts(this.#denied);
  }

  /** A minute is over, and no call took it along. */
  isDue(epochMs: number): boolean {
    for (const { minute } of this.#changed) {
      if (epochMs - Date.parse(minute) >= minuteMs + longestWaitMs) return true;
    }
    return false;
  }

  /** Called about once a second, of which it keeps the busiest. */
  addUp(now: number, epochMs: number): void {
    const isNewSecond = now - this.#addedUpAt >= secondMs;
    if (isNewSecond) this.#addedUpAt = now;
    const minute = new Date(Math.floor(epochMs / minuteMs) * minuteMs).toISOString();
    this.#addUpOf(this.#admitted, false, minute, isNewSecond);
    this.#addUpOf(this.#denied, true, minute, isNewSecond);
    this.#forgetOld(epochMs);
  }

  /** Totals for a call: of minutes that are over, or all. Null for none. */
  take(epochMs: number, isAll: boolean): readonly CountRow[] | null {
    const rows: CountRow[] = [];
    for (const total of this.#changed) {
      const isOver = epochMs - Date.parse(total.minute) >= minuteMs;
      if (!isAll && !isOver) continue;
      if (rows.length === mostInCall) break;
      this.#changed.delete(total);
      rows.push(this.#rowOf(total));
    }
    return rows.length === 0 ? null : rows;
  }

  /** The call failed: they go with the next one. */
  putBack(rows: readonly CountRow[] | null): void {
    for (const row of rows ?? []) {
      const total = this.#totals.get(
        keyOf(row.minute, row.operation, row.size_class, row.is_denied),
      );
      if (total !== undefined) this.#changed.add(total);
    }
  }

  #addUpOf(all: Map<string, Cells>, isDenied: boolean, minute: string, isNewSecond: boolean): void {
    for (const [operation, cells] of all) {
      cells.forEach((cell, sizeClass) => {
        if (cell === undefined) return;
        if (cell[0] > 0) this.#add({ minute, operation, sizeClass, isDenied }, cell);
        else if (isNewSecond) cells[sizeClass] = undefined;
        if (isNewSecond) cell[3] = 0;
      });
      if (cells.every((cell) => cell === undefined)) all.delete(operation);
    }
  }

  #add(of: Counted, cell: Cell): void {
    const key = keyOf(of.minute, of.operation, of.sizeClass, of.isDenied);
    const total = this.#totals.get(key) ?? { ...of, operations: 0, tokens: 0, bytes: 0, peak: 0 };
    cell[3] += cell[0];
    total.operations = sum(total.operations, cell[0]);
    total.tokens = sum(total.tokens, cell[1]);
    total.bytes = sum(total.bytes, cell[2]);
    total.peak = Math.max(total.peak, cell[3]);
    cell.fill(0, 0, 3);
    if (!this.#totals.has(key) && this.#totals.size >= mostTotals) return;
    this.#totals.set(key, total);
    this.#changed.add(total);
  }

  #cellsOf(operation: string, isDenied: boolean): Cells {
    const all = isDenied ? this.#denied : this.#admitted;
    const known = all.get(operation);
    if (known !== undefined) return known;
    const cells: Cells = [];
    all.set(operation, cells);
    return cells;
  }

  #rowOf(total: Total): CountRow {
    return {
      ...{ minute: total.minute, counter: this.#counter, operation: total.operation },
      ...{ size_class: total.sizeClass, is_denied: total.isDenied, operations: total.operations },
      ...{ tokens: decimalOf(total.tokens), bytes: total.bytes, peak_operations: total.peak },
    };
  }

  #forgetOld(epochMs: number): void {
    for (const [key, total] of this.#totals) {
      const isOver = Math.abs(epochMs - Date.parse(total.minute)) > longestMinuteMs;
      if (isOver && !this.#changed.has(total)) this.#totals.delete(key);
    }
  }
}

/** Minute, operation, size class and verdict. */
function keyOf(...parts: readonly unknown[]): string {
  return parts.join(" ");
}

function cellOf(cells: Cells, size: number): Cell {
  const sizeClass = sizeClassOf(size);
  const known = cells[sizeClass];
  if (known !== undefined) return known;
  const cell = new Float64Array(4) as Cell;
  cells[sizeClass] = cell;
  return cell;
}

function hasCounts(all: ReadonlyMap<string, Cells>): boolean {
  for (const cells of all.values()) {
    if (cells.some((cell) => cell !== undefined && cell[0] > 0)) return true;
  }
  return false;
}

function sum(a: number, b: number): number {
  return Math.min(a + b, Number.MAX_SAFE_INTEGER);
}
