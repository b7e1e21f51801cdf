import { run } from "graphile-worker";
import pg from "pg";
import type { StartWorker } from "../service.ts";

/** Runs no task yet: the tasks are the jobs issue's. */
export const startWorker: StartWorker = async ({ databaseUrl }) => {
  const pgPool = new pg.Pool({ connectionString: databaseUrl });
  const runner = await run({ pgPool, taskList: {}, noHandleSignals: true });
  return {
    name: "worker",
    stop: async () => {
      await runner.stop();
      await pgPool.end();
    },
  };
};
