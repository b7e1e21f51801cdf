import { Borrowings } from "./borrowings.ts";
import type { Level } from "./bucket.ts";
import { Leases } from "./leases.ts";
import { Operations } from "./operations.ts";
import { Pools } from "./pools.ts";
import type { Held, LedgerRow } from "./store.ts";
import type { World } from "./world.ts";

/**
 * docs/token-semantics.md in one process: no database, no clock, no rounding. Moments are
 * microseconds since 1970, amounts millionths of a token.
 */
export class Limiter {
  readonly pools: Pools;
  readonly operations: Operations;
  readonly leases: Leases;
  readonly borrowings: Borrowings;

  constructor(world: World) {
    this.pools = new Pools(world);
    this.operations = new Operations(this.pools);
    this.leases = new Leases(this.pools);
    this.borrowings = new Borrowings(this.pools);
  }

  /** Every bucket as it stands at a moment, written or not. */
  balancesAt(at: bigint): Held[] {
    return this.pools.allAt(at);
  }

  /** Every bucket that was ever written, as it was last written: by owner, type and mode. */
  get balances(): ReadonlyMap<string, Level> {
    return this.pools.store.levels;
  }

  get ledger(): readonly LedgerRow[] {
    return this.pools.store.ledger;
  }
}
