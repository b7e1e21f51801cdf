import type { ClientLogger } from "../options/logger.ts";
import type { Connections } from "./connections.ts";
import { LentPg, type PgPool } from "./lent-pg.ts";
import { LentPostgres } from "./lent-postgres.ts";
import { OwnConnections } from "./own-connections.ts";
import type { PostgresPool, Sql } from "./sql.ts";

/** A connection URL, or a pool of `postgres` or `pg`. */
export type Connection = string | PostgresPool | PgPool;

export function openConnections(
  connection: Connection,
  timeoutMs: number,
  log: ClientLogger,
): Connections {
  if (typeof connection === "string") return new OwnConnections(connection, timeoutMs, log);
  return typeof connection === "function"
    ? new LentPostgres(connection as Sql)
    : new LentPg(connection);
}
