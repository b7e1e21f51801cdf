import type { CurrentCosts } from "../costs/current-costs.ts";
import { InvalidRequestError } from "../errors.ts";
import type { NamedApplication } from "../store/application-configs.ts";
import type { Limits } from "./limits.ts";

/** Identifies an application: by API key, or by id where the caller has checked the key itself. */
export type ApplicationName = { readonly apiKey: string } | { readonly application: string };

/** What this process caches of an application. */
export interface ApplicationConfig {
  readonly application: string;
  readonly tenant: string;
  readonly limits: Limits;
  readonly costs: CurrentCosts;
  /** When the key ends, on the monotonic clock; Infinity for no end. */
  readonly keyValidUntil: number;
}

const uuid = /^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$/i;

/** Throws where the name could fail a call for many applications. */
export function requireName(name: ApplicationName): NamedApplication {
  if ("apiKey" in name) {
    const { apiKey } = name;
    const isText = typeof apiKey === "string" && apiKey.isWellFormed() && !apiKey.includes("\0");
    if (isText) return { apiKey, application: null };
    throw new InvalidRequestError("QS422", "invalid apiKey", { hint: "Give the key as text." });
  }
  const { application } = name;
  if (uuid.test(application)) return { apiKey: null, application };
  throw new InvalidRequestError("QS422", "invalid application", {
    hint: "Give the id of the application, a UUID.",
  });
}
