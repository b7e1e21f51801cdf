import type { TransactionSql } from "../../postgres/connect.ts";
import type { Row } from "./row.ts";

/** Runs work in a transaction of its own, which ends before the promise is kept. */
export type InTransaction = <T>(work: (sql: TransactionSql) => Promise<T>) => Promise<T>;

/** Rows by their key, a page a transaction: between two of them nothing is held in the database. */
export type Pages = AsyncGenerator<readonly Row[]>;

/** Rows read at once: as many as the server ever holds for one export. */
export const pageSize = 1_000;
