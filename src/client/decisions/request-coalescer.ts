import type { Operation } from "../store/consume.ts";
import type { Store } from "../store/store.ts";
import { decideBatch, type PendingRequest } from "./decide-many.ts";
import type { Decision } from "./decision.ts";

/** Minimum time between calls; requests that arrive meanwhile are sent together. */
const pauseMs = 50;
const largestBatch = 1_000;

/**
 * Sends operations of one application that the database decides one by one: a single call is in
 * flight, and requests that arrive meanwhile go together with the next.
 */
export class RequestCoalescer {
  readonly #store: Store;
  #queue: PendingRequest[] = [];
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

  /** One reference may occur only once in a batch. */
  #nextBatch(): PendingRequest[] {
    const references = new Set<string>();
    const batch: PendingRequest[] = [];
    const later: PendingRequest[] = [];
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
    // A caller awaits this timer, so it may keep the process alive.
    setTimeout(resolve, ms);
  });
}
