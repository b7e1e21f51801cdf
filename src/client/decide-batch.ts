import type { Decision } from "./decision.ts";
import { type LimiterError, UnavailableError } from "./errors.ts";
import { consume, type Operation } from "./store/consume.ts";
import { consumeBatch } from "./store/consume-batch.ts";
import { consumeTogether } from "./store/consume-together.ts";
import type { Sql } from "./store/sql.ts";
import type { Store } from "./store/store.ts";

/** Somebody who waits for a decision. */
export interface Waiting {
  readonly application: string;
  readonly operation: Operation;
  readonly resolve: (decision: Decision) => void;
  readonly reject: (error: LimiterError) => void;
}

/** What waits of one application, in one call. One bad operation spoils only its own. */
export function decideBatch(store: Store, batch: readonly Waiting[]): Promise<void> {
  const operations = batch.map((waiting) => waiting.operation);
  return decideInOneCall(store, batch, (sql) =>
    consumeBatch(sql, batch[0]?.application ?? "", operations),
  );
}

/** What waits of many applications, one operation of each, in one call. */
export function decideTogether(store: Store, batch: readonly Waiting[]): Promise<void> {
  const asked = batch.map(({ application, operation }) => ({ application, ...operation }));
  return decideInOneCall(store, batch, (sql) => consumeTogether(sql, asked));
}

async function decideInOneCall(
  store: Store,
  batch: readonly Waiting[],
  ask: (sql: Sql) => Promise<readonly (Decision | null)[]>,
): Promise<void> {
  const [first] = batch;
  if (first === undefined) return;
  if (batch.length === 1) return decideAlone(store, first);
  try {
    const decisions = await store.call(ask);
    batch.forEach((waiting, index) => {
      const decision = decisions[index] ?? null;
      if (decision === null) void decideAlone(store, waiting);
      else waiting.resolve(decision);
    });
  } catch (error) {
    for (const waiting of batch) {
      // After an outage the charge may have been made; else each is asked by itself.
      if (error instanceof UnavailableError) waiting.reject(error);
      else await decideAlone(store, waiting);
    }
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
