/** Runs pieces of work in their order, up to `atOnce` at a time. They must not reject. */
export class WorkQueue {
  readonly #atOnce: number;
  readonly #waiting: (() => Promise<void>)[] = [];
  #running = 0;

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  add(work: () => Promise<void>): void {
    this.#waiting.push(work);
    if (this.#running < this.#atOnce) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running += 1;
    for (let work = this.#waiting.shift(); work !== undefined; work = this.#waiting.shift()) {
      await work();
    }
    this.#running -= 1;
  }
}
