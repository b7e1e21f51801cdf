import { AbortedError } from "../errors.ts";
import { deferred } from "./deferred.ts";

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new AbortedError(signal.reason);
}

/** Rejects with an AbortedError when the signal comes first. */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const aborted = deferred<never>();
  const onAbort = () => aborted.reject(new AbortedError(signal.reason));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    // What comes later must not be an unhandled rejection.
    work.catch(() => {});
  }
}
