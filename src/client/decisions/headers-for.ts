import type { Decision } from "./decision.ts";

/** Structured fields hold no larger number. */
const largest = 999_999_999_999_999;

/**
 * The fields RateLimit and RateLimit-Policy of draft-ietf-httpapi-ratelimit-headers, named as the
 * gateway names them, and Retry-After where the operation was denied.
 */
export function headersFor(decision: Decision): Record<string, string> {
  const { allowed, limit, resetMs, retryAfterMs, shadow } = decision;
  const headers: Record<string, string> = {};
  if (limit !== null) {
    const window = Math.max(Math.ceil((resetMs ?? 1_000) / 1_000), 1);
    headers["RateLimit-Policy"] = `"iops_l2";q=${whole(limit)};w=${window};qu="requests"`;
  }
  const items = itemsOf(decision);
  if (items.length > 0) headers.RateLimit = items.join(", ");
  if (!allowed && retryAfterMs !== null) headers["Retry-After"] = String(seconds(retryAfterMs));
  if (shadow !== null) headers["X-RateLimit-Shadow"] = shadow;
  return headers;
}

function itemsOf({ allowed, reason, remaining, remainingBytes, retryAfterMs }: Decision): string[] {
  const left = new Map<string, number>();
  if (remaining !== null && Number.isFinite(remaining)) left.set("iops_l2", remaining);
  if (remainingBytes !== null) left.set("bandwidth_l2", remainingBytes);
  const short = !allowed && /_l[12]$/.test(reason ?? "") ? reason : null;
  if (short !== null && !left.has(short)) left.set(short, 0);
  return [...left].map(([name, amount]) => {
    const isShort = name === short && retryAfterMs !== null;
    return `"${name}";r=${whole(amount)}${isShort ? `;t=${seconds(retryAfterMs)}` : ""}`;
  });
}

function whole(amount: number): number {
  return Math.min(Math.max(Math.floor(amount), 0), largest);
}

function seconds(ms: number): number {
  return Math.min(Math.ceil(ms / 1_000), largest);
}
