/** A time in which every operation of an application was throttled. */
export interface Stretch {
  readonly operations: number;
  readonly fromUs: bigint;
  readonly toUs: bigint;
}

/** Finds the longest stretch of one application, as its decisions come. */
export class Stretches {
  #running: Stretch | null = null;
  longest: Stretch | null = null;

  add(offsetUs: bigint, allowed: boolean): void {
    if (allowed) {
      this.#running = null;
      return;
    }
    const { operations, fromUs } = this.#running ?? { operations: 0, fromUs: offsetUs };
    this.#running = { operations: operations + 1, fromUs, toUs: offsetUs };
    this.longest = longer(this.#running, this.longest);
  }
}

export function longer(one: Stretch | null, other: Stretch | null): Stretch | null {
  if (one === null || other === null) return one ?? other;
  const difference = one.toUs - one.fromUs - (other.toUs - other.fromUs);
  const isLonger = difference > 0n || (difference === 0n && one.operations > other.operations);
  return isLonger ? one : other;
}
