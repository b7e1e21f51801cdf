import { wholeNumber } from "../whole-number.ts";
import { type AlertSettings, alertSettings } from "./alerts/settings.ts";
import { openStore } from "./archive/open-store.ts";
import type { ArchiveStore } from "./archive/store.ts";
import { type HealthSettings, healthSettings } from "./health/settings.ts";

/** What a worker takes from its environment. */
export interface WorkerSettings {
  /** Jobs that one process runs at once. */
  readonly concurrency: number;
  readonly alerts: AlertSettings;
  readonly health: HealthSettings;
  /** Where retention exports to what its policy wants kept. */
  readonly archive: ArchiveStore | undefined;
}

const usualConcurrency = 4;

export function workerSettings(env: NodeJS.ProcessEnv = process.env): WorkerSettings {
  return {
    concurrency: wholeNumber(env, "WORKER_CONCURRENCY", usualConcurrency, 1),
    alerts: alertSettings(env),
    health: healthSettings(env),
    archive: env.QOS_ARCHIVE_FOLDER ? openStore(env.QOS_ARCHIVE_FOLDER, env) : undefined,
  };
}
