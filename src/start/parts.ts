import type { StartApi, StartWorker } from "../service.ts";

/** The long-running parts of the product. */
export interface Parts {
  readonly startApi: StartApi;
  readonly startWorker: StartWorker;
}

/** Loaded when they start: a start that fails before that need not wait for their libraries. */
export const parts: Parts = {
  startApi: async (options) => (await import("../api/server.ts")).startApi(options),
  startWorker: async (options) => (await import("../worker/worker.ts")).startWorker(options),
};
