/** Clients that take turns hold leases one after the other: they count for this long. */
const memoryMs = 30_000;

/** How many clients hold leases of one application, this one included. */
export class HolderCount {
  /** As of the last grant. */
  now = 1;
  #most = 1;
  #mostAt = Number.NEGATIVE_INFINITY;

  see(holders: number, now: number): void {
    this.now = Math.max(holders, 1);
    if (this.now < this.#most && now - this.#mostAt < memoryMs) return;
    this.#most = this.now;
    this.#mostAt = now;
  }

  at(now: number): number {
    return now - this.#mostAt < memoryMs ? this.#most : this.now;
  }
}
