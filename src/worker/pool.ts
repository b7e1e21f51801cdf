import pg from "pg";
import { logFor } from "../log.ts";
import { handlePoolErrors } from "../postgres/handle-pool-errors.ts";
import { withSessionSettings } from "../postgres/url.ts";
import { logIgnored, pgConfig } from "../postgres/url-drivers.ts";
import { urlTarget } from "../postgres/url-target.ts";
import { cancelStatements } from "./cancel-statements.ts";
import { paceQueue } from "./pace-queue.ts";

const timeoutMs = 2_000;

export interface WorkerPool {
  readonly pool: pg.Pool;
  /** Interrupts what runs on its connections now. */
  interrupt(): Promise<void>;
  /** Closes it, also where a connection is not released. */
  close(): Promise<void>;
}

/** A pool of the worker's own: the queue's driver is pg. It survives lost connections. */
export function openPool(connectionString: string, size: number): WorkerPool {
  const log = logFor("worker");
  const target = urlTarget(withSessionSettings(connectionString));
  logIgnored(target, "pg", log);
  const pool = new pg.Pool({
    application_name: "storage-qos worker",
    ...pgConfig(target),
    max: size,
    keepAlive: true,
  });
  handlePoolErrors(pool, log);
  pool.on("connect", paceQueue);
  // A job reports the parts that it leaves out as warnings.
  pool.on("connect", (client) =>
    client.on("notice", ({ severity, code, message }) => {
      if (severity === "WARNING") log.warn({ code }, message ?? "warning");
    }),
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
      const timer = setTimeout(kill, timeoutMs);
      await pool.end();
      clearTimeout(timer);
    },
  };
}
