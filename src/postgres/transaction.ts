import type { Sql, TransactionSql } from "./connect.ts";

/**
 * As sql.begin(), except where the connection is lost: the library would answer the failure with a
 * rollback, written to a socket that is gone, and that ends the process. It learns of the loss by
 * itself, so the failure that comes of it is kept from it.
 */
export async function inTransaction<T>(
  sql: Sql,
  work: (sql: TransactionSql) => Promise<T>,
): Promise<T> {
  let isOver = false;
  try {
    const done = await sql.begin(async (transaction) => {
      try {
        return { result: await work(transaction) };
      } catch (error) {
        if (isOver || isLoss(error)) return new Promise<never>(() => {});
        throw error;
      }
    });
    return done.result;
  } finally {
    isOver = true;
  }
}

/** What the library makes of a statement whose connection ended. */
interface StatementError {
  readonly code?: string;
  readonly severity?: string;
  readonly query?: string;
  readonly syscall?: string;
}

function isLoss(error: unknown): boolean {
  const { code, severity, query, syscall } = Object(error) as StatementError;
  if (query === undefined) return false;
  if (severity !== undefined) return severity === "FATAL" || severity === "PANIC";
  return syscall !== undefined || /^CONNECTION_/.test(code ?? "");
}
