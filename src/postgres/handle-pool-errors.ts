import type pg from "pg";
import type { Logger } from "../log.ts";

/**
 * Without an error listener, a dropped connection crashes the process: idle connections report to
 * the pool, connections in use to themselves. The pool replaces them.
 */
export function handlePoolErrors(pool: pg.Pool, log: Logger): void {
  pool.on("error", (err) => log.warn({ err }, "an idle database connection was lost"));
  pool.on("connect", (client) =>
    client.on("error", (err) => log.warn({ err }, "a database connection was lost")),
  );
}
