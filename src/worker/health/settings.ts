import { wholeNumber } from "../../whole-number.ts";
import { networkList } from "../alerts/settings.ts";

/** What probing the clusters takes from the worker's environment. */
export interface HealthSettings {
  /** Private networks that probes may go to; webhooks may not go to those of probes alone. */
  readonly allowedNetworks: readonly string[];
  readonly timeoutMs: number;
}

export function healthSettings(env: NodeJS.ProcessEnv): HealthSettings {
  return {
    allowedNetworks: [
      ...networkList(env.HEALTH_ALLOWED_NETWORKS),
      ...networkList(env.ALERT_ALLOWED_NETWORKS),
    ],
    timeoutMs: wholeNumber(env, "HEALTH_TIMEOUT_MS", 5_000, 1),
  };
}
