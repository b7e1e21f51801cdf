import type { WorkerEvents } from "graphile-worker";
import type { Pool } from "pg";
import { logFor } from "../log.ts";
import { forgetWorkers } from "./forget-workers.ts";

const log = logFor("worker");
const beatMilliseconds = 10_000;

export interface Heartbeat {
  stop(): Promise<void>;
}

/** Says that this process's workers are there, so that nobody takes their jobs from them. */
export function startHeartbeat(pool: Pool, events: WorkerEvents): Heartbeat {
  const present = new Set<string>();
  const gone = new Set<string>();
  const beat = async () => {
    try {
      await pool.query("select rate_limiter_private.note_workers($1)", [[...present]]);
    } catch (err) {
      log.warn({ err }, "the database was not told that this worker is there");
    }
  };
  events.on("worker:create", ({ worker }) => {
    present.add(worker.workerId);
  });
  events.on("worker:stop", ({ worker }) => {
    present.delete(worker.workerId);
    gone.add(worker.workerId);
  });
  const timer = setInterval(beat, beatMilliseconds);
  void beat();
  return {
    async stop() {
      clearInterval(timer);
      await forgetWorkers(pool, [...present, ...gone]).catch((err: unknown) =>
        log.warn({ err }, "the database was not told that this worker stops"),
      );
    },
  };
}
