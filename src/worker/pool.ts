import pg from "pg";
import { logFor } from "../log.ts";

const log = logFor("worker");

/** A pool of the worker's own: the queue's driver is pg. A lost connection is no end of it. */
export function openPool(connectionString: string, size: number): pg.Pool {
  const pool = new pg.Pool({
    connectionString,
    max: size,
    application_name: "storage-qos worker",
    keepAlive: true,
  });
  pool.on("error", (err) => log.warn({ err }, "an idle database connection was lost"));
  pool.on("connect", (client) =>
    client.on("error", (err) => log.warn({ err }, "a database connection was lost")),
  );
  return pool;
}
