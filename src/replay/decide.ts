import type { Sql } from "../postgres/connect.ts";
import type { Recording } from "./read-trace.ts";
import type { Decided } from "./tally.ts";

/**
 * Operations in a transaction. Each admission leaves one more version of the same row behind,
 * which only a later transaction can prune: batches of 100 are slower than these.
 */
const BATCH = 20;
/** Batches under way: the connection answers them in order while the next ones are being sent. */
const PIPELINE = 16;

/** Decides every operation of a recording, in order, by the road of a live one. */
export async function* decide(
  sql: Sql,
  application: string,
  recording: Recording,
): AsyncGenerator<Decided[]> {
  const underWay: Promise<Decided[]>[] = [];
  for (let from = 0; from < recording.trace.length; from += BATCH) {
    const batch = decideBatch(sql, application, recording, from);
    // The first failed batch reports its error; the rejections of the others must be handled too.
    batch.catch(() => undefined);
    underWay.push(batch);
    if (underWay.length === PIPELINE) yield await (underWay.shift() as Promise<Decided[]>);
  }
  for (const batch of underWay) yield await batch;
}

async function decideBatch(
  sql: Sql,
  application: string,
  { trace, epoch }: Recording,
  from: number,
): Promise<Decided[]> {
  const indexes = Array.from(
    { length: Math.min(BATCH, trace.length - from) },
    (_, index) => from + index,
  );
  const offsets = indexes.map((index) => trace.offsetUs(index));
  const sizes = indexes.map((index) => trace.size(index));
  const operations = indexes.map((index) => trace.operation(index));
  const rows = await sql<{ allowed: boolean; cost: string }[]>`
    select allowed, cost
    from rate_limiter_internal.replay_batch(
      ${application}, ${epoch}, ${offsets.map(String)}, ${operations}, ${sizes.map(String)}
    )
  `;
  return rows.map(({ allowed, cost }, index) => ({
    offsetUs: offsets[index] as bigint,
    size: sizes[index] as bigint,
    allowed,
    cost,
  }));
}
