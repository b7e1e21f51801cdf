import type { Decision } from "./decision.ts";
import { type LimiterError, UnavailableError } from "./errors.ts";
import { consume, type Operation } from "./store/consume.ts";
import { consumeBatch } from "./store/consume-batch.ts";
import type { Store } from "./store/store.ts";

/** Somebody who waits for a decision. */
export interface Waiting {
  readonly application: string;
  readonly operation: Operation;
  readonly resolve: (decision: Decision) => void;
  readonly reject: (error: LimiterError) => void;
}

/** What waits of one application, in one call. One bad operation spoils only its own. */
export async function decideBatch(store: Store, batch: readonly Waiting[]): Promise<void> {
  const [first] = batch;
  if (first === undefined) return;
  if (batch.length === 1) return decideAlone(store, first);
  const { application } = first;
  const operations = batch.map((waiting) => waiting.operation);
  try {
    const decisions = await store.call((sql) => consumeBatch(sql, application, operations));
    batch.forEach((waiting, index) => {
      waiting.resolve(decisions[index] as Decision);
    });
  } catch (error) {
    await failBatch(store, batch, error as LimiterError);
  }
}

/** After an outage the charge may have been made; after anything else each is asked by itself. */
export async function failBatch(
  store: Store,
  batch: readonly Waiting[],
  error: LimiterError,
): Promise<void> {
  for (const waiting of batch) {
    if (error instanceof UnavailableError) waiting.reject(error);
    else await decideAlone(store, waiting);
  }
}

export async function decideAlone(store: Store, waiting: Waiting): Promise<void> {
  const { application, operation } = waiting;
  try {
    waiting.resolve(await store.call((sql) => consume(sql, application, operation)));
  } catch (error) {
    waiting.reject(error as LimiterError);
  }
}
