import { diskOf } from "../disk.ts";
import { growLedger } from "../grow-ledger.ts";
import { type BenchDatabase, openWorldBeside, startIn } from "../open-database.ts";
import { rounded } from "../statistics.ts";
import type { Bench, Notes, Workload } from "../types.ts";
import { fullBesideFloor } from "./full-beside-floor.ts";

const million = 1_000_000;
const notInQuick = "ledgers are not grown with --quick";
/** Long for a round, as there is only one. */
const rounds = 4;

export const ledgerMillion = ofRows("ledger-1m", million);
export const ledgerTenMillion = ofRows("ledger-10m", 10 * million);
/** As many as `--ledger-rows` says. */
export const ledgerLarge: Workload = ledgerGrowth(
  "ledger-most",
  "as many ledger rows of the last week as --ledger-rows says",
  ({ ledgerRows }) => ledgerRows,
  async ({ ledgerRows }) =>
    [million, 10 * million].includes(ledgerRows)
      ? `${ledgerRows.toLocaleString("en")} rows are measured already`
      : undefined,
);

function ofRows(name: string, rows: number): Workload {
  const shown = rows.toLocaleString("en");
  return ledgerGrowth(
    name,
    `${shown} ledger rows of the last week`,
    () => rows,
    async ({ ledgerRows }) =>
      ledgerRows < rows ? `needs --ledger-rows ${rows} or more` : undefined,
  );
}

/** In a database of its own, with the floor beside it to tell the ledger from the machine. */
function ledgerGrowth(
  name: string,
  ledger: string,
  rowsOf: (bench: Bench) => number,
  leftOut: (bench: Bench) => Promise<string | undefined>,
): Workload {
  return {
    ...{ name, unit: "per second", afterRounds: true },
    says: `full decisions over ${ledger}`,
    missing: async (bench) => (bench.quick ? notInQuick : leftOut(bench)),
    start: (bench) =>
      startIn(openWorldBeside(bench), async (database) => {
        const rows = await grow(bench, database, rowsOf(bench));
        const own = { ...bench, url: database.url, sql: database.sql };
        const turn = await fullBesideFloor(own, bench.seconds * rounds);
        return {
          async round() {
            const notes = await notesOf(database, rows);
            const { full, floor } = await turn();
            const share = rounded(full.figure / floor.figure);
            return { ...full, notes: { ...notes, "share of the floor there": share } };
          },
        };
      }),
  };
}

async function grow(bench: Bench, { url, sql }: BenchDatabase, wanted: number): Promise<number> {
  const rows = await growLedger(sql, bench.applications, wanted, () => diskOf(url, sql));
  if (rows === 0) throw new Error("less than a fifth of the disk would stay free");
  return rows;
}

/** Rows of today's partition count: new ones go there. */
async function notesOf({ sql }: BenchDatabase, rows: number): Promise<Notes> {
  const [row] = await sql<[{ bytes: string; today: string }]>`
    select
      sum(pg_total_relation_size(p.partition_oid)) as bytes,
      (
        select count(*) from rate_limiter.token_transactions
        where created_at >= rate_limiter_internal.period_start(now(), 'day')
      ) as today
    from rate_limiter_internal.partitions() as p
    where p.table_name = 'token_transactions'
  `;
  return { rows, "rows of today": Number(row.today), "bytes with indexes": Number(row.bytes) };
}
