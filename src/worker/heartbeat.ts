import type { WorkerEvents } from "graphile-worker";
import type { Pool } from "pg";
import { logFor } from "../log.ts";
import { forgetWorkers } from "./forget-workers.ts";
import { type AllowedNetworks, noteWorkers } from "./note-workers.ts";

const log = logFor("worker");
const beatMs = 10_000;

export interface Heartbeat {
  stop(): Promise<void>;
}

/**
 * Records that this process's worker pools are alive. Jobs are locked in their names; once the
 * heartbeats stop, `rescue_stuck_jobs` releases those jobs.
 */
export function startHeartbeat(
  pool: Pool,
  events: WorkerEvents,
  networks: AllowedNetworks,
): Heartbeat {
  const present = new Set<string>();
  const gone = new Set<string>();
  const beat = async () => {
    try {
      await noteWorkers(pool, [...present], networks);
      if (gone.size > 0) await forgetWorkers(pool, [...gone]);
      gone.clear();
    } catch (err) {
      log.warn({ err }, "the heartbeat could not be written");
    }
  };
  events.on("pool:create", ({ workerPool }) => {
    present.add(workerPool.id);
    const leave = () => {
      present.delete(workerPool.id);
      gone.add(workerPool.id);
    };
    workerPool.promise.then(leave, leave);
    void beat();
  });
  const timer = setInterval(beat, beatMs);
  return {
    async stop() {
      clearInterval(timer);
      for (const id of present) gone.add(id);
      present.clear();
      await beat();
    },
  };
}
