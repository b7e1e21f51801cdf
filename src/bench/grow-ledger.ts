import { logFor } from "../log.ts";
import type { Sql } from "../postgres/connect.ts";
import { type Disk, hasRoomFor } from "./disk.ts";

const log = logFor("bench");

const days = 7;
/** In the table, its index and the WAL; more than there are. */
const bytesOfRow = 500;

/**
 * Fills the ledger of the group `full` with so many rows of the last week, newest first, so that
 * the oldest are missing where the disk ends it early, as after retention. Answers how many.
 */
export async function growLedger(
  sql: Sql,
  applications: number,
  rows: number,
  disk: () => Promise<Disk | undefined>,
  rowsAtOnce = 1_000_000,
): Promise<number> {
  const buckets = applications * 2;
  const ofEach = Math.ceil(rows / buckets);
  const atOnce = Math.max(1, Math.floor(rowsAtOnce / buckets));
  await sql`select bench.make_ledger_partitions(${days})`;
  let made = 0;
  while (made < ofEach) {
    const more = Math.min(atOnce, ofEach - made);
    if (!hasRoomFor(more * buckets * bytesOfRow, await disk())) {
      log.warn(
        { rows: made * buckets, wanted: rows },
        "the ledger grows no further: a fifth of the disk stays free",
      );
      break;
    }
    if (made === 0) await sql`select bench.make_room_in_ledger(${applications}, ${ofEach})`;
    const newest = ofEach - made;
    await sql`
      select bench.grow_ledger(${applications}, ${ofEach}, ${newest - more + 1}, ${newest}, ${days})
    `;
    made += more;
  }
  await sql`vacuum analyze rate_limiter.token_transactions`;
  // What was written for this must not have to reach the disk while decisions are measured.
  await sql`checkpoint`;
  return made * buckets;
}
