import pg from "pg";
import { logFor } from "../log.ts";
import { hearLosses } from "../postgres/hear-losses.ts";
import { cancelStatements } from "./cancel-statements.ts";

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
  hearLosses(pool, logFor("worker"));
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
