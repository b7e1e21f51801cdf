import { wholeNumber } from "../whole-number.ts";
import { type AlertSettings, alertSettings } from "./alerts/settings.ts";
import { openStore } from "./archive/open-store.ts";
import type { ArchiveStore } from "./archive/store.ts";

/** What a worker takes from its environment. */
export interface WorkerSettings {
  /** Jobs that one process runs at once. */
  readonly concurrency: number;
  readonly alerts: AlertSettings;
  /** Where retention exports to what its policy wants kept. */
  readonly archive: ArchiveStore | undefined;
}

const usualConcurrency = 4;

export function workerSettings(env: NodeJS.ProcessEnv = process.env): WorkerSettings {
  return {
    concurrency: wholeNumber(env, "WORKER_CONCURRENCY", usualConcurrency, 1),
    alerts: alertSettings(env),
    archive: env.QOS_ARCHIVE_FOLDER ? openStore(env.QOS_ARCHIVE_FOLDER, env) : undefined,
  };
}
