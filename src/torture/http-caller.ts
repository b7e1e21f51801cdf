import { setTimeout as sleep } from "node:timers/promises";
import type { Actor } from "./actor.ts";

const answerMs = 5_000;
const pauseMs = 20;

export interface HttpCallerPlan {
  readonly name: string;
  readonly request: () => Request;
  /** What an answer means; absent where none came. */
  readonly answered: (status: number | undefined, text: string) => void;
}

/** Asks a server over HTTP, one request after another. */
export class HttpCaller implements Actor {
  readonly name: string;
  readonly #plan: HttpCallerPlan;
  readonly #stopping = new AbortController();
  #done: Promise<void> | undefined;

  constructor(plan: HttpCallerPlan) {
    this.name = plan.name;
    this.#plan = plan;
  }

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.#ask();
      await sleep(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  async #ask(): Promise<void> {
    const { request, answered } = this.#plan;
    try {
      const response = await fetch(request(), { signal: AbortSignal.timeout(answerMs) });
      answered(response.status, await response.text());
    } catch {
      answered(undefined, "");
    }
  }
}
