import pg from "pg";
import { logFor } from "../log.ts";
import { cancelStatements } from "./cancel-statements.ts";

const log = logFor("worker");
const patienceMilliseconds = 2_000;

export interface WorkerPool {
  readonly pool: pg.Pool;
  /** Interrupts what runs on its connections now. */
  interrupt(): Promise<void>;
  /** Closes it, also where somebody does not give a connection back. */
  close(): Promise<void>;
}

/** A pool of the worker's own: the queue's driver is pg. A lost connection is no end of it. */
export function openPool(connectionString: string, size: number): WorkerPool {
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
  const busy = new Set<pg.PoolClient>();
  pool.on("acquire", (client) => busy.add(client));
  pool.on("release", (_error, client) => busy.delete(client));
  return {
    pool,
    interrupt: () => cancelStatements(pool, [...busy]),
    async close() {
      const kill = () => {
        for (const client of busy) void (client as unknown as pg.Client).end();
      };
      const timer = setTimeout(kill, patienceMilliseconds);
      await pool.end();
      clearTimeout(timer);
    },
  };
}
