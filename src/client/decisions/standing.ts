import type { Limits } from "../config/limits.ts";
import type { Decision } from "./decision.ts";

/** What a decision says of the application's IOPS quota. */
export function standingOf(limits: Limits | undefined): Pick<Decision, "limit" | "resetMs"> {
  const limit = finite(limits?.leasableTokens);
  const perSecond = finite(limits?.tokensPerSecond);
  const resetMs = limit === null || perSecond === null ? null : (limit / perSecond) * 1_000;
  return { limit, resetMs: resetMs === null ? null : Math.ceil(resetMs) };
}

function finite(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null;
}
