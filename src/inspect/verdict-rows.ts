import type { Verdict } from "../management/management.ts";
import { moment } from "../output/moment.ts";
import { bytesForPeople, trimmed } from "./amounts.ts";

const amounts = ["charge", "tokens", "capacity", "debt", "refill_per_second"] as const;

/** Exact, for programs. */
export function exactVerdicts(verdicts: readonly Verdict[]): object[] {
  return verdicts.map((verdict) => written(verdict, trimmed));
}

/** Buckets of bandwidth hold bytes, all others tokens. */
export function readableVerdicts(verdicts: readonly Verdict[]): object[] {
  return verdicts.map((verdict) => {
    const row = written(verdict, isOfBytes(verdict) ? bytesForPeople : trimmed);
    const refill = row.refill_per_second === null ? null : `${row.refill_per_second}/s`;
    return { ...row, refill };
  });
}

function isOfBytes({ bucket }: Verdict): boolean {
  return bucket.startsWith("bandwidth");
}

function written(verdict: Verdict, write: (amount: string) => string): Verdict {
  const given = amounts.map((name) => {
    const amount = verdict[name];
    return [name, amount === null ? null : write(amount)] as const;
  });
  const { passes_at: passesAt } = verdict;
  return {
    ...verdict,
    ...Object.fromEntries(given),
    passes_at: passesAt === null ? null : moment(passesAt),
  };
}
