import type { Sql } from "../postgres/connect.ts";

/** By how many milliseconds the server's clock is ahead (below zero: behind), at the least. */
export async function readClock(sql: Sql): Promise<number> {
  const before = Date.now();
  const [row] = await sql<{ ms: string }[]>`
    select (extract(epoch from clock_timestamp()) * 1000)::text as ms
  `;
  const after = Date.now();
  const there = Number(row?.ms);
  if (there > after) return there - after;
  return there < before ? there - before : 0;
}
