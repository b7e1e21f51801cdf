/** What an operation does to the storage, before its size gives it its exact name. */
export const KINDS = ["read", "write", "head", "delete"] as const;
export type Kind = (typeof KINDS)[number];

const SMALL_UP_TO = 4_096n;
const MEDIUM_UP_TO = 65_536n;
const FIRST_ROOM = 1_024;

/** The operation type that an operation of this kind and size is charged as. */
export function operationName(kind: Kind, size: bigint): string {
  if (kind === "head" || kind === "delete") return kind;
  if (size <= SMALL_UP_TO) return `${kind}_small`;
  return size <= MEDIUM_UP_TO ? `${kind}_medium` : `${kind}_large`;
}

/**
 * A recorded workload, held in columns: 17 bytes an operation, so that tens of millions fit in
 * memory and a bad line at the end is found before the first decision is made.
 */
export class Trace {
  #offsets = new BigInt64Array(FIRST_ROOM);
  #sizes = new BigInt64Array(FIRST_ROOM);
  #kinds = new Uint8Array(FIRST_ROOM);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(offsetUs: bigint, kind: Kind, size: bigint): void {
    if (this.#length === this.#kinds.length) this.#grow();
    this.#offsets[this.#length] = offsetUs;
    this.#sizes[this.#length] = size;
    this.#kinds[this.#length] = KINDS.indexOf(kind);
    this.#length += 1;
  }

  /** Microseconds after the epoch of the trace. */
  offsetUs(index: number): bigint {
    return this.#offsets[this.#checked(index)] as bigint;
  }

  size(index: number): bigint {
    return this.#sizes[this.#checked(index)] as bigint;
  }

  operation(index: number): string {
    return operationName(
      KINDS[this.#kinds[this.#checked(index)] as number] as Kind,
      this.size(index),
    );
  }

  /** The same operations in time order; those of equal time keep their order. */
  inTimeOrder(): Trace {
    const order = Array.from({ length: this.#length }, (_, index) => index);
    const offsets = this.#offsets;
    order.sort((a, b) => Number((offsets[a] as bigint) - (offsets[b] as bigint)));
    return this.#picked(order);
  }

  slice(from: number, limit: number): Trace {
    const count = Math.max(0, Math.min(limit, this.#length - from));
    return this.#picked(Array.from({ length: count }, (_, index) => from + index));
  }

  #picked(order: readonly number[]): Trace {
    const picked = new Trace();
    for (const index of order) {
      picked.add(
        this.offsetUs(index),
        KINDS[this.#kinds[index] as number] as Kind,
        this.size(index),
      );
    }
    return picked;
  }

  #checked(index: number): number {
    if (index < 0 || index >= this.#length) throw new RangeError(`no operation ${index}`);
    return index;
  }

  #grow(): void {
    const room = this.#length * 2;
    this.#offsets = widened(this.#offsets, new BigInt64Array(room));
    this.#sizes = widened(this.#sizes, new BigInt64Array(room));
    this.#kinds = widened(this.#kinds, new Uint8Array(room));
  }
}

function widened<T extends BigInt64Array | Uint8Array>(from: T, to: T): T {
  to.set(from as never);
  return to;
}
