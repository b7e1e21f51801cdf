const growth = 10;

/** How many entries a call may have, so that it takes a small part of its time limit. */
export class BatchSize {
  readonly #most: number;
  readonly #longestMs: number;
  #size: number;

  constructor(most: number, timeoutMs: number) {
    this.#most = most;
    this.#longestMs = timeoutMs / 4;
    this.#size = most;
  }

  get now(): number {
    return this.#size;
  }

  /** A call with so many entries took so long, or failed after so long. */
  see(entries: number, ms: number): void {
    if (ms > this.#longestMs)
      this.#size = Math.max(Math.floor(Math.min(entries, this.#size) / 2), 1);
    else if (entries >= this.#size) this.#size = Math.min(this.#size + growth, this.#most);
  }
}
