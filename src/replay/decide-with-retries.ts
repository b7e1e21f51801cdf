import type { Sql } from "../postgres/connect.ts";
import { type ApplicationIds, decideBatch } from "./decide.ts";
import { latestUs } from "./formats/time.ts";
import { type Operation, operationAt } from "./operations.ts";
import type { Recording } from "./read-trace.ts";
import type { Decided } from "./tally.ts";

/**
 * Decides as `decide` does, and asks again for what was throttled after the wait that it was told,
 * up to so many times, among the operations that come meanwhile. What is asked next depends on the
 * answer before: these go one at a time.
 */
export async function* decideWithRetries(
  sql: Sql,
  ids: ApplicationIds,
  { trace, epoch }: Recording,
  mostRetries: number,
): AsyncGenerator<Decided[]> {
  const waiting: Operation[] = [];
  let next = 0;
  while (next < trace.length || waiting.length > 0) {
    const recorded = next < trace.length ? operationAt(trace, next) : undefined;
    const operation = earlier(recorded, waiting[0]);
    if (operation === recorded) next += 1;
    else waiting.shift();
    const [decided] = (await decideBatch(sql, ids, epoch, [operation])) as [Decided];
    const retry = retryOf(decided, operation, mostRetries);
    if (retry !== undefined) insert(waiting, retry);
    yield [{ ...decided, isLast: retry === undefined }];
  }
}

function earlier(recorded: Operation | undefined, retry: Operation | undefined): Operation {
  if (recorded === undefined) return retry as Operation;
  return retry !== undefined && retry.offsetUs < recorded.offsetUs ? retry : recorded;
}

/** Undefined where it was admitted, can never be, or was asked for often enough. */
function retryOf(
  { allowed, retryAfterUs }: Decided,
  operation: Operation,
  mostRetries: number,
): Operation | undefined {
  if (allowed || retryAfterUs === undefined || operation.tries >= mostRetries) return undefined;
  const offsetUs = operation.offsetUs + retryAfterUs;
  if (offsetUs > latestUs) return undefined;
  return { ...operation, offsetUs, tries: operation.tries + 1 };
}

/** Behind those of the same moment. */
function insert(waiting: Operation[], retry: Operation): void {
  let [low, high] = [0, waiting.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((waiting[middle] as Operation).offsetUs <= retry.offsetUs) low = middle + 1;
    else high = middle;
  }
  waiting.splice(low, 0, retry);
}
