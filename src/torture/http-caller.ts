import type { Actor } from "./actor.ts";
import { Turns } from "./turns.ts";

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
  readonly #turns = new Turns(() => this.#turn());

  constructor(plan: HttpCallerPlan) {
    this.name = plan.name;
    this.#plan = plan;
  }

  start(): void {
    this.#turns.start();
  }

  stop(): Promise<void> {
    return this.#turns.stop();
  }

  async #turn(): Promise<void> {
    await this.#ask();
    await this.#turns.pause(pauseMs);
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
