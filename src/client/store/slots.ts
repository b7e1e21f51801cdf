/** Bounds calls in flight. Calls that wait have no time limit yet. */
export class Slots {
  readonly #size: number;
  /** Bound on calls with unverified input, so that they leave room for others. */
  readonly #unverifiedSize: number;
  readonly #waiting: (() => void)[] = [];
  readonly #waitingUnverified: (() => void)[] = [];
  #taken = 0;
  #takenUnverified = 0;

  constructor(size: number) {
    this.#size = size;
    this.#unverifiedSize = Math.max(1, Math.floor(size / 2));
  }

  async take(isUnverified: boolean): Promise<() => void> {
    const queue = isUnverified ? this.#waitingUnverified : this.#waiting;
    await new Promise<void>((resolve) => {
      queue.push(resolve);
      this.#startNext();
    });
    return () => {
      this.#taken -= 1;
      if (isUnverified) this.#takenUnverified -= 1;
      this.#startNext();
    };
  }

  #startNext(): void {
    while (this.#taken < this.#size) {
      const isUnverified = this.#waiting.length === 0;
      if (isUnverified && this.#takenUnverified >= this.#unverifiedSize) return;
      const start = (isUnverified ? this.#waitingUnverified : this.#waiting).shift();
      if (start === undefined) return;
      this.#taken += 1;
      if (isUnverified) this.#takenUnverified += 1;
      start();
    }
  }
}
