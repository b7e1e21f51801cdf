/** After so many leases for one operation each, leases do not pay. */
const unusedLeases = 3;

/** Tells applications that ask so rarely that each lease serves one operation. */
export class RareUse {
  #unused = 0;
  #askedAt = Number.NEGATIVE_INFINITY;

  /** An idle application returned its leases. */
  noteReturned(operations: number): void {
    this.#unused = operations > 1 ? 0 : this.#unused + 1;
  }

  /** Whether a request is better decided in the database. Soon after another one it is not. */
  asks(now: number, idleMs: number): boolean {
    if (now - this.#askedAt < idleMs) this.#unused = 0;
    this.#askedAt = now;
    return this.#unused >= unusedLeases;
  }
}
