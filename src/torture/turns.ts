import { setTimeout as sleep } from "node:timers/promises";

/** Takes one turn after another until it is told to stop. */
export class Turns {
  readonly #turn: () => Promise<void>;
  readonly #stopping = new AbortController();
  #done: Promise<void> | undefined;

  constructor(turn: () => Promise<void>) {
    this.#turn = turn;
  }

  start(): void {
    this.#done = this.#run();
  }

  /** Resolves once the turn that is under way is over. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  /** Waits within a turn; not at all once it is to stop. */
  async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) await this.#turn();
  }
}
