import type { CheckOptions } from "../application-limiter.ts";
import { AbortedError, ClosedError } from "../errors.ts";
import { throwIfAborted } from "../waiting/abortable.ts";
import type { Decision } from "./decision.ts";

export interface AcquireOptions extends CheckOptions {
  /** Longest time to wait for an admission; by default there is no limit. */
  readonly maxWaitMs?: number;
}

export type Sleep = (ms: number, options: { readonly signal?: AbortSignal }) => Promise<void>;

/** Asks until the answer is an admission. A wait is a little longer than told, so that many differ. */
export async function acquire(
  check: () => Promise<Decision>,
  { signal, maxWaitMs = Number.POSITIVE_INFINITY }: AcquireOptions,
  sleep: Sleep,
  now: () => number = () => performance.now(),
): Promise<Decision> {
  const wait = async (ms: number) => {
    try {
      await sleep(ms, signal === undefined ? {} : { signal });
    } catch (error) {
      if (error instanceof ClosedError) throw error;
      throw new AbortedError(signal?.reason ?? error);
    }
  };
  const until = now() + maxWaitMs;
  for (;;) {
    throwIfAborted(signal);
    const decision = await check();
    if (decision.allowed) {
      if (decision.delayMs > 0) await wait(decision.delayMs);
      return decision;
    }
    if (decision.retryAfterMs === null) return decision;
    const pauseMs = Math.max(decision.retryAfterMs, 1) * (1 + 0.1 * Math.random());
    if (now() + pauseMs > until) return decision;
    await wait(pauseMs);
  }
}
