import { setTimeout as sleep } from "node:timers/promises";
import { ApiError } from "./api-error.ts";

const longestMs = 5_000;

/**
 * The result of a short statement. The library that sends it tries for as long as a database that
 * is away takes to come back, which no client waits for.
 */
export async function withinTime<T>(work: PromiseLike<T>): Promise<T> {
  const patience = new AbortController();
  const late = sleep(longestMs, undefined, { signal: patience.signal, ref: false }).then(
    () => {
      throw databaseAway();
    },
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    patience.abort();
  }
}

function databaseAway(): ApiError {
  const hint = "Try again when retryAfterMs is over.";
  return new ApiError("QS503", "database is not available", hint, { retryAfterMs: 1_000 });
}
