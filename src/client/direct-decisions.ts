import { decideBatch, type Waiting } from "./decide-batch.ts";
import type { Decision } from "./decision.ts";
import type { Operation } from "./store/consume.ts";
import type { Store } from "./store/store.ts";

/** Whoever comes while a call is under way, or so soon after one, goes along with the next. */
const pauseMs = 50;
const largestBatch = 1_000;

/**
 * What the database decides on, operation by operation, for one application: one call at a time,
 * with everything that has come together by then.
 */
export class DirectDecisions {
  readonly #store: Store;
  #queue: Waiting[] = [];
  #isBusy = false;
  #lastCallAt = Number.NEGATIVE_INFINITY;

  constructor(store: Store) {
    this.#store = store;
  }

  decide(application: string, operation: Operation): Promise<Decision> {
    const decided = new Promise<Decision>((resolve, reject) => {
      this.#queue.push({ application, operation, resolve, reject });
    });
    if (!this.#isBusy) void this.#work();
    return decided;
  }

  async #work(): Promise<void> {
    this.#isBusy = true;
    while (this.#queue.length > 0) {
      await pause(this.#lastCallAt + pauseMs - performance.now());
      this.#lastCallAt = performance.now();
      await decideBatch(this.#store, this.#nextBatch());
    }
    this.#isBusy = false;
  }

  /** An operation twice under one reference cannot be in one batch. */
  #nextBatch(): Waiting[] {
    const references = new Set<string>();
    const batch: Waiting[] = [];
    const later: Waiting[] = [];
    for (const waiting of this.#queue) {
      const { reference } = waiting.operation;
      const isRepeated = reference !== null && references.has(reference);
      if (isRepeated || batch.length === largestBatch) later.push(waiting);
      else batch.push(waiting);
      if (reference !== null) references.add(reference);
    }
    this.#queue = later;
    return batch;
  }
}

function pause(ms: number): Promise<void> {
  if (ms <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    // Someone awaits this one, so it may keep the process alive for its 50 ms.
    setTimeout(resolve, ms);
  });
}
