import type { Sql } from "../postgres/connect.ts";
import { InputError } from "../user-error.ts";
import { type Imported, importBatch } from "./import-batch.ts";
import type { Entry } from "./read-access-keys.ts";

const batchSize = 1_000;
const mostReported = 100;

/** An entry that is refused: its line in the file, and why. */
export interface Problem {
  readonly line: number;
  readonly code: string;
  readonly message: string;
}

/**
 * Registers all entries in one transaction, or none of them: then `report` is called for the first
 * hundred that are refused.
 */
export function importAccessKeys(
  sql: Sql,
  entries: readonly Entry[],
  report: (problem: Problem) => void,
): Promise<Imported> {
  return sql.begin(async (transaction) => {
    let [registered, unchanged, refused] = [0, 0, 0];
    const problems: Problem[] = [];
    for (let start = 0; start < entries.length; start += batchSize) {
      const batch = entries.slice(start, start + batchSize);
      const answer = await importBatch(transaction, batch);
      if ("refused" in answer) {
        refused += answer.refused;
        problems.push(...answer.first.map((problem) => withLine(problem, batch)));
      } else {
        registered += answer.registered;
        unchanged += answer.unchanged;
      }
    }
    for (const problem of problems.slice(0, mostReported)) report(problem);
    if (refused > 0) throw allRefused(refused, entries.length);
    return { registered, unchanged };
  });
}

function withLine(
  { entry, code, message }: { entry: number; code: string; message: string },
  batch: readonly Entry[],
): Problem {
  return { line: batch[entry - 1]?.line ?? 0, code, message };
}

function allRefused(refused: number, all: number): InputError {
  return new InputError(
    "access_keys_refused",
    `${refused} of ${all} access keys are refused: none was registered`,
    "Correct the lines that are named above, and import the file again.",
  );
}
