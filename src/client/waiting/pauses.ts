import { setTimeout as sleep } from "node:timers/promises";

/** Pauses of callers, which can be ended all at once. */
export class Pauses {
  readonly #pauses = new Set<AbortController>();
  #error: Error | undefined;

  /** Rejects with the signal's reason, or with the error that ended all pauses. */
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    const pause = new AbortController();
    const abort = () => pause.abort();
    this.#pauses.add(pause);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
    try {
      await sleep(ms, undefined, { signal: pause.signal });
    } catch {
      throw this.#error ?? signal?.reason;
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#pauses.delete(pause);
    }
  }

  end(error: Error): void {
    this.#error = error;
    for (const pause of this.#pauses) pause.abort();
  }
}
