import type { ApplicationParts } from "./application-parts.ts";
import type { ApplicationStatus } from "./status.ts";

export function statusOf(parts: ApplicationParts, now: number): ApplicationStatus {
  const { cache, keeper, layer3, owed, spending, store, tally } = parts;
  const { current } = layer3.leases;
  const { tokens, bytes } = owed.amounts;
  return {
    state: stateOf(parts),
    application: cache.application,
    lease: {
      state: layer3.state,
      tokens: Math.max(current.tokensLeft, 0) / 1_000_000,
      bytes: Math.max(current.bytesLeft, 0),
      expiresInMs: Number.isFinite(current.expiresAt) ? current.expiresAt - now : 0,
    },
    owed: { tokens: tokens / 1_000_000, bytes },
    holders: keeper.holders(now),
    decidedByDatabase: cache.config?.limits.isDirect ?? false,
    allowed: spending.admitted,
    denied: tally.denied,
    uncharged: tally.uncharged,
    lastError: cache.error ?? store.status.lastError,
  };
}

function stateOf({ cache, layer3 }: ApplicationParts): ApplicationStatus["state"] {
  const { state } = layer3;
  if (state === "closed") return "closed";
  if (cache.error !== undefined) return "rejected";
  if (state === "outage") return "outage";
  return cache.config === undefined ? "loading" : "ready";
}
