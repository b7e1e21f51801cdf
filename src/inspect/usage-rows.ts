import type { Usage } from "../management/management.ts";
import { moment } from "../output/moment.ts";
import { bytesForPeople, trimmed } from "./amounts.ts";

/** Exact, for programs. */
export function exactUsage(rows: readonly Usage[]): object[] {
  return rows.map(({ starts_at, ...amounts }) => ({
    starts_at: moment(starts_at),
    ...Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, trimmed(amount)])),
  }));
}

export function readableUsage(rows: readonly Usage[]): object[] {
  return rows.map((row) => ({
    starts_at: moment(row.starts_at).slice(0, "2026-01-01T00:00".length).replace("T", " "),
    tokens: trimmed(row.tokens),
    bytes: bytesForPeople(row.bytes),
    ledger_entries: row.ledger_entries,
    denied_operations: trimmed(row.denied_operations),
    denied_tokens: trimmed(row.denied_tokens),
    denied_bytes: bytesForPeople(row.denied_bytes),
  }));
}
