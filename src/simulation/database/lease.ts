/** A lease as the database keeps it, in millionths and microseconds. */
export interface Lease {
  readonly id: string;
  readonly holder: string;
  readonly tokens: bigint;
  readonly expiresAt: number;
  /** When it was settled, or found to be expired and counted as spent. */
  overAt: number | null;
}

export function isOpen({ overAt, expiresAt }: Lease, at: number): boolean {
  return overAt === null && expiresAt > at;
}

/** Why it cannot be settled, or asked for again. */
export function problemOf({ overAt, expiresAt }: Lease): "QS409" | "QS410" {
  return overAt !== null && overAt < expiresAt ? "QS409" : "QS410";
}

const slotUs = 100_000;

/** Leases of a cluster by when they expire, so that those that are over are found at once. */
export class Expiries {
  readonly #slots = new Map<number, Set<Lease>>();
  #first = Number.POSITIVE_INFINITY;
  #last = Number.NEGATIVE_INFINITY;

  add(lease: Lease): void {
    const slot = slotOf(lease.expiresAt);
    const leases = this.#slots.get(slot) ?? new Set();
    this.#slots.set(slot, leases.add(lease));
    this.#first = Math.min(this.#first, slot);
    this.#last = Math.max(this.#last, slot);
  }

  remove(lease: Lease): void {
    this.#slots.get(slotOf(lease.expiresAt))?.delete(lease);
  }

  hasExpired(at: number): boolean {
    return this.#expired(at, 1).length > 0;
  }

  /** Removes and answers so many at most. */
  takeExpired(at: number, most: number): Lease[] {
    const expired = this.#expired(at, most);
    for (const lease of expired) this.remove(lease);
    return expired;
  }

  #expired(at: number, most: number): Lease[] {
    this.#forgetEmptySlots(at);
    const found: Lease[] = [];
    const end = Math.min(slotOf(at), this.#last);
    for (let slot = this.#first; slot <= end && found.length < most; slot += 1) {
      const leases = [...(this.#slots.get(slot) ?? [])];
      found.push(...leases.filter(({ expiresAt }) => expiresAt <= at));
    }
    return found.slice(0, most);
  }

  #forgetEmptySlots(at: number): void {
    const end = Math.min(slotOf(at), this.#last);
    for (; this.#first < end && !this.#slots.get(this.#first)?.size; this.#first += 1)
      this.#slots.delete(this.#first);
  }
}

function slotOf(at: number): number {
  return Math.floor(at / slotUs);
}
