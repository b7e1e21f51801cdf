import { type LimiterError, UnavailableError } from "../errors.ts";
import { consume, type Operation } from "../store/consume.ts";
import { consumeBatch } from "../store/consume-batch.ts";
import { consumeMany } from "../store/consume-many.ts";
import type { Sql } from "../store/sql.ts";
import type { Store } from "../store/store.ts";
import type { Decision } from "./decision.ts";

/** A request that waits for a decision. */
export interface PendingRequest {
  readonly application: string;
  readonly operation: Operation;
  readonly resolve: (decision: Decision) => void;
  readonly reject: (error: LimiterError) => void;
}

/** Decides requests of one application in one call. An invalid request fails alone. */
export function decideBatch(store: Store, batch: readonly PendingRequest[]): Promise<void> {
  const operations = batch.map((waiting) => waiting.operation);
  return decideInOneCall(store, batch, (sql) =>
    consumeBatch(sql, batch[0]?.application ?? "", operations),
  );
}

/** Decides requests of many applications, one of each, in one call. */
export function decideMany(store: Store, batch: readonly PendingRequest[]): Promise<void> {
  const asked = batch.map(({ application, operation }) => ({ application, ...operation }));
  return decideInOneCall(store, batch, (sql) => consumeMany(sql, asked));
}

async function decideInOneCall(
  store: Store,
  batch: readonly PendingRequest[],
  ask: (sql: Sql) => Promise<readonly (Decision | null)[]>,
): Promise<void> {
  const [first] = batch;
  if (first === undefined) return;
  if (batch.length === 1) return decideAlone(store, first);
  try {
    const decisions = await store.charge(ask, (decisions) =>
      decisions.some((decision) => decision?.allowed),
    );
    batch.forEach((waiting, index) => {
      const decision = decisions[index] ?? null;
      if (decision === null) void decideAlone(store, waiting);
      else waiting.resolve(decision);
    });
  } catch (error) {
    // In an outage the charge may have been made, so nothing is repeated.
    if (!(error instanceof UnavailableError)) {
      await Promise.all(batch.map((waiting) => decideAlone(store, waiting)));
      return;
    }
    for (const waiting of batch) waiting.reject(error);
  }
}

export async function decideAlone(store: Store, waiting: PendingRequest): Promise<void> {
  const { application, operation } = waiting;
  try {
    waiting.resolve(
      await store.charge(
        (sql) => consume(sql, application, operation),
        ({ allowed }) => allowed,
      ),
    );
  } catch (error) {
    waiting.reject(error as LimiterError);
  }
}
