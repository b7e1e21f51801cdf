import type { TransactionSql } from "../postgres/connect.ts";
import type { Entry } from "./read-access-keys.ts";

export interface Imported {
  readonly registered: number;
  readonly unchanged: number;
}

/** What the database refuses of a batch. */
export interface Refused {
  readonly refused: number;
  /** Of the first hundred: which of the batch, counted from 1, and why. */
  readonly first: readonly { entry: number; code: string; message: string }[];
}

/** Registers a batch, or none of it. */
export async function importBatch(
  transaction: TransactionSql,
  entries: readonly Entry[],
): Promise<Imported | Refused> {
  try {
    return await transaction.savepoint(async (sql) => {
      const [answer] = await sql<Imported[]>`
        select registered, unchanged
        from rate_limiter_private.import_access_keys(${sql.json(entries.map(withoutLine))})
      `;
      return answer ?? { registered: 0, unchanged: 0 };
    });
  } catch (error) {
    const refused = refusedOf(error);
    if (refused === undefined) throw error;
    return refused;
  }
}

function withoutLine({ line: _, ...entry }: Entry): Omit<Entry, "line"> {
  return entry;
}

function refusedOf(error: unknown): Refused | undefined {
  const { message, detail } = error as { message?: string; detail?: string };
  return message === "access keys are refused" && detail ? JSON.parse(detail) : undefined;
}
