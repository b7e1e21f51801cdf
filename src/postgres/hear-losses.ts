import type pg from "pg";
import type { Logger } from "../log.ts";

/**
 * A connection that breaks is replaced; unheard, its error would end the process: the pool's while
 * it is idle, its own while somebody has it.
 */
export function hearLosses(pool: pg.Pool, log: Logger): void {
  pool.on("error", (err) => log.warn({ err }, "an idle database connection was lost"));
  pool.on("connect", (client) =>
    client.on("error", (err) => log.warn({ err }, "a database connection was lost")),
  );
}
