import { readSettings } from "../../settings/read-settings.ts";
import { alertDeclaration, healthDeclaration } from "../../settings/worker.ts";

/** What probing the clusters takes from the worker's environment. */
export interface HealthSettings {
  /** Private networks that probes may go to; webhooks may not go to those of probes alone. */
  readonly allowedNetworks: readonly string[];
  readonly timeoutMs: number;
}

export function healthSettings(env: NodeJS.ProcessEnv): HealthSettings {
  const { allowedNetworks, timeoutMs } = readSettings(env, healthDeclaration);
  const { allowedNetworks: alsoAllowed } = readSettings(env, alertDeclaration);
  return { allowedNetworks: [...allowedNetworks, ...alsoAllowed], timeoutMs };
}
