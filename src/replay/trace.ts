const firstRoom = 1_024;
const secondUs = 1_000_000n;

/**
 * A recorded workload, held in columns: 19 bytes an operation, so that tens of millions fit in
 * memory and a bad line at the end is found before the first decision is made.
 */
export class Trace {
  #offsets = new BigInt64Array(firstRoom);
  #sizes = new BigInt64Array(firstRoom);
  #operations = new Uint8Array(firstRoom);
  #applications = new Uint16Array(firstRoom);
  #length = 0;
  readonly #operationNames: Names;
  readonly #applicationNames: Names;

  constructor(operationNames = new Names(255), applicationNames = new Names(65_535)) {
    this.#operationNames = operationNames;
    this.#applicationNames = applicationNames;
  }

  get length(): number {
    return this.#length;
  }

  /** Of the operations that are there. */
  get applications(): readonly string[] {
    return this.#applicationNames.all;
  }

  add(offsetUs: bigint, operation: string, size: bigint, application: string): void {
    this.#append(
      offsetUs,
      this.#operationNames.placeOf(operation),
      size,
      this.#applicationNames.placeOf(application),
    );
  }

  /** Microseconds after the epoch of the trace. */
  offsetUs(index: number): bigint {
    return this.#offsets[this.#checked(index)] as bigint;
  }

  size(index: number): bigint {
    return this.#sizes[this.#checked(index)] as bigint;
  }

  operation(index: number): string {
    return this.#operationNames.all[this.#operations[this.#checked(index)] as number] as string;
  }

  application(index: number): string {
    return this.#applicationNames.all[this.#applications[this.#checked(index)] as number] as string;
  }

  /** The same operations in time order; those of equal time keep their order. */
  inTimeOrder(): Trace {
    const order = Array.from({ length: this.#length }, (_, index) => index);
    const offsets = this.#offsets;
    order.sort((a, b) => Number((offsets[a] as bigint) - (offsets[b] as bigint)));
    return this.#picked(order);
  }

  /** Of a trace in time order: the operations of one whole second at even distances within it. */
  spreadOverSeconds(): Trace {
    const spread = this.slice(0, this.#length);
    for (let from = 0; from < this.#length; ) {
      let to = from + 1;
      while (to < this.#length && this.#offsets[to] === this.#offsets[from]) to += 1;
      for (let index = from; index < to; index += 1) {
        const share = (secondUs * BigInt(index - from)) / BigInt(to - from);
        spread.#offsets[index] = (this.#offsets[from] as bigint) + share;
      }
      from = to;
    }
    return spread;
  }

  slice(from: number, limit: number): Trace {
    const count = Math.max(0, Math.min(limit, this.#length - from));
    return this.#picked(Array.from({ length: count }, (_, index) => from + index));
  }

  #picked(order: readonly number[]): Trace {
    const picked = new Trace(this.#operationNames, this.#applicationNames);
    for (const index of order) {
      picked.#append(
        this.offsetUs(index),
        this.#operations[index] as number,
        this.size(index),
        this.#applications[index] as number,
      );
    }
    return picked;
  }

  #append(offsetUs: bigint, operation: number, size: bigint, application: number): void {
    if (this.#length === this.#offsets.length) this.#grow();
    this.#offsets[this.#length] = offsetUs;
    this.#sizes[this.#length] = size;
    this.#operations[this.#length] = operation;
    this.#applications[this.#length] = application;
    this.#length += 1;
  }

  #checked(index: number): number {
    if (index < 0 || index >= this.#length) throw new RangeError(`no operation ${index}`);
    return index;
  }

  #grow(): void {
    const room = this.#length * 2;
    this.#offsets = widened(this.#offsets, new BigInt64Array(room));
    this.#sizes = widened(this.#sizes, new BigInt64Array(room));
    this.#operations = widened(this.#operations, new Uint8Array(room));
    this.#applications = widened(this.#applications, new Uint16Array(room));
  }
}

/** Names by small numbers, in the order in which they came; those that find no room are one. */
class Names {
  readonly all: string[] = [];
  readonly #places = new Map<string, number>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  placeOf(name: string): number {
    const known = this.#places.get(name);
    if (known !== undefined) return known;
    if (this.all.length === this.#most) return this.#most - 1;
    this.#places.set(name, this.all.length);
    return this.all.push(name) - 1;
  }
}

function widened<T extends BigInt64Array | Uint8Array | Uint16Array>(from: T, to: T): T {
  to.set(from as never);
  return to;
}
