import type { WorkerEvents } from "graphile-worker";
import type { Pool } from "pg";
import { logFor } from "../log.ts";
import { forgetWorkers } from "./forget-workers.ts";
import { noteWorkers } from "./note-workers.ts";

const log = logFor("worker");
const beatMilliseconds = 10_000;

export interface Heartbeat {
  stop(): Promise<void>;
}

/**
 * Says that this process's pools of workers, in whose names jobs are locked, are there, so that
 * nobody takes their jobs from them. Once they are gone, others may.
 */
export function startHeartbeat(pool: Pool, events: WorkerEvents): Heartbeat {
  const present = new Set<string>();
  const gone = new Set<string>();
  const beat = async () => {
    try {
      await noteWorkers(pool, [...present]);
      if (gone.size > 0) await forgetWorkers(pool, [...gone]);
      gone.clear();
    } catch (err) {
      log.warn({ err }, "the database was not told that this worker is there");
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
  const timer = setInterval(beat, beatMilliseconds);
  return {
    async stop() {
      clearInterval(timer);
      for (const id of present) gone.add(id);
      present.clear();
      await beat();
    },
  };
}
