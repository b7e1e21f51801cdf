import type { Sql } from "../postgres/connect.ts";
import { type Operation, operationAt } from "./operations.ts";
import type { Recording } from "./read-trace.ts";
import type { Decided } from "./tally.ts";

/**
 * Operations in a transaction. Each admission leaves one more version of the same row behind,
 * which only a later transaction can prune: batches of 100 are slower than these.
 */
const batchSize = 20;
/** Batches under way: the connection answers them in order while the next ones are being sent. */
const pipeline = 16;

/** Ids of the applications of a recording, by their names. */
export type ApplicationIds = (name: string) => string;

/** Decides every operation of a recording, in order, by the road of a live one. */
export async function* decide(
  sql: Sql,
  ids: ApplicationIds,
  { trace, epoch }: Recording,
): AsyncGenerator<Decided[]> {
  const underWay: Promise<Decided[]>[] = [];
  for (let from = 0; from < trace.length; from += batchSize) {
    const count = Math.min(batchSize, trace.length - from);
    const operations = Array.from({ length: count }, (_, place) =>
      operationAt(trace, from + place),
    );
    const batch = decideBatch(sql, ids, epoch, operations);
    // The first failed batch reports its error; the rejections of the others must be handled too.
    batch.catch(() => undefined);
    underWay.push(batch);
    if (underWay.length === pipeline) yield await (underWay.shift() as Promise<Decided[]>);
  }
  for (const batch of underWay) yield await batch;
}

export async function decideBatch(
  sql: Sql,
  ids: ApplicationIds,
  epoch: Date,
  operations: readonly Operation[],
): Promise<Decided[]> {
  const rows = await sql<{ allowed: boolean; cost: string; retryAfterMs: string | null }[]>`
    select allowed, cost, retry_after_ms as "retryAfterMs"
    from rate_limiter_internal.replay_batch(
      ${operations.map(({ application }) => ids(application))}::uuid[],
      ${epoch},
      ${operations.map(({ offsetUs }) => String(offsetUs))},
      ${operations.map(({ operation }) => operation)},
      ${operations.map(({ size }) => String(size))}
    )
  `;
  return rows.map(({ allowed, cost, retryAfterMs }, place) => ({
    ...(operations[place] as Operation),
    ...{ allowed, cost, isLast: true },
    retryAfterUs: retryAfterMs === null ? undefined : BigInt(retryAfterMs) * 1_000n,
  }));
}
