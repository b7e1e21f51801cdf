import type { StartApi, StartWorker } from "../service.ts";

/** The long-running parts of the product. */
export interface Parts {
  readonly startApi: StartApi;
  readonly startWorker: StartWorker;
}

/** Loaded when they start, so that a start that fails earlier is fast. */
export const parts: Parts = {
  startApi: async (options) => (await import("../api/server.ts")).startApi(options),
  startWorker: async (options) => (await import("../worker/worker.ts")).startWorker(options),
};
