import { makeAddressGuard, type Resolve } from "../alerts/address-guard.ts";
import { PermanentFailure } from "../alerts/failure.ts";
import { makeSendGuarded } from "../guarded-request.ts";
import type { HealthSettings } from "./settings.ts";

export interface Finding {
  /** Null where the cluster was not probed: its address is not allowed, or invalid. */
  readonly isUp: boolean | null;
  readonly message: string;
}

export type Probe = (url: string, signal?: AbortSignal) => Promise<Finding>;

/** Probes a cluster by the address rules of webhooks; 2xx is a success. */
export function makeProbe(settings: HealthSettings, resolve?: Resolve): Probe {
  const { allowedNetworks, timeoutMs } = settings;
  const guard = makeAddressGuard(allowedNetworks, resolve, "HEALTH_ALLOWED_NETWORKS");
  const send = makeSendGuarded(guard, timeoutMs);
  return async (url, signal) => {
    if (!URL.canParse(url)) return { isUp: null, message: "the URL cannot be read" };
    try {
      const { host, status } = await send({ method: "GET", url, ...(signal && { signal }) });
      return { isUp: status >= 200 && status < 300, message: `${host} answered ${status}` };
    } catch (error) {
      return failure(error);
    }
  };
}

function failure(error: unknown): Finding {
  if (!(error instanceof Error)) return { isUp: false, message: String(error) };
  return { isUp: error instanceof PermanentFailure ? null : false, message: error.message };
}
