import { mock } from "node:test";

/** A call of the network, in the order of its time. */
interface Event {
  readonly at: number;
  readonly order: number;
  readonly work: () => void;
}

/** Timers of this process, the monotonic clock and chance, which a simulation moves. */
export class VirtualTime {
  /** Milliseconds since it began. */
  now = 0;
  readonly #events: Event[] = [];
  readonly #real = { now: performance.now, random: Math.random };
  #order = 0;

  /** Everything in this process reads it, until `end`. */
  begin(random: () => number): void {
    mock.timers.enable({ apis: ["setTimeout"] });
    // What mock.method() puts in their place keeps a record of each call.
    performance.now = () => this.now;
    Math.random = random;
  }

  end(): void {
    performance.now = this.#real.now;
    Math.random = this.#real.random;
    mock.timers.reset();
  }

  /** Calls it when so many milliseconds have passed. */
  after(ms: number, work: () => void): void {
    this.#order += 1;
    this.#push({ at: this.now + ms, order: this.#order, work });
  }

  /** Time passes, with all that is due meanwhile, and what that brings about at once. */
  async advance(ms: number): Promise<void> {
    // What was asked for at this moment is decided at this moment.
    await settled();
    const end = this.now + ms;
    while ((this.#events[0]?.at ?? Number.POSITIVE_INFINITY) <= end) {
      const { at, work } = this.#pop();
      this.now = at;
      work();
    }
    this.now = end;
    mock.timers.tick(ms);
    await settled();
  }

  // A heap: a library of one would be larger than this.
  #push(event: Event): void {
    const heap = this.#events;
    let place = heap.push(event) - 1;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (isBefore(heap[above] as Event, event)) break;
      heap[place] = heap[above] as Event;
      place = above;
    }
    heap[place] = event;
  }

  #pop(): Event {
    const heap = this.#events;
    const first = heap[0] as Event;
    const last = heap.pop() as Event;
    if (heap.length === 0) return first;
    let place = 0;
    for (;;) {
      let next = 2 * place + 1;
      const other = heap[next + 1];
      if (other !== undefined && isBefore(other, heap[next] as Event)) next += 1;
      const below = heap[next];
      if (below === undefined || isBefore(last, below)) break;
      heap[place] = below;
      place = next;
    }
    heap[place] = last;
    return first;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}

/** Promises that are answered now may ask again: a timer of the loop comes after all of them. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
