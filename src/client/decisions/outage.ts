import type { Limits } from "../config/limits.ts";
import { type Decision, decisionFor, denial } from "./decision.ts";
import type { Need } from "./need.ts";

/**
 * What to decide while the database is unreachable and the lease is spent: `closed` denies,
 * `open` admits, `fair_share` spends at the rate of the quota divided by the clients last seen.
 * The latter two hold for `maxMs`; after that it denies.
 */
export interface OutagePolicy {
  readonly policy: "closed" | "open" | "fair_share";
  readonly maxMs: number;
}

export const defaultOutagePolicy: OutagePolicy = { policy: "fair_share", maxMs: 300_000 };

export interface SharedLimits extends Limits {
  /** Clients that held leases of late, this one included. */
  readonly holders: number;
}

/** The share of one resource, refilled in whole millionths. */
class Share {
  #left = 0;
  #at: number;

  constructor(now: number) {
    this.#at = now;
  }

  refill(now: number, perMs: number, wanted: number): void {
    if (!Number.isFinite(perMs)) return;
    const inflow = Math.floor((now - this.#at) * perMs);
    if (inflow <= 0) return;
    // At most one second's worth, or what the operation needs.
    this.#left = Math.min(this.#left + inflow, Math.max(perMs * 1_000, wanted));
    this.#at = now;
  }

  holds(amount: number): boolean {
    return amount <= this.#left;
  }

  take(amount: number): void {
    this.#left -= amount;
  }
}

/** Decides without the database, for one application. */
export class OutageRules {
  readonly #policy: OutagePolicy;
  #tokens: Share | undefined;
  #bytes: Share | undefined;

  constructor(policy: OutagePolicy) {
    this.#policy = policy;
  }

  decide(
    need: Pick<Need, "tokens" | "bytes">,
    limits: SharedLimits | undefined,
    outage: { readonly since: number; readonly retryAfterMs: number },
    now: number,
  ): Decision {
    const closed = denial("store_unavailable", outage.retryAfterMs);
    if (now - outage.since >= this.#policy.maxMs) return closed;
    if (this.#policy.policy === "open") return admittedUncharged;
    if (this.#policy.policy === "closed" || limits === undefined) return closed;
    return this.#spendsShare(need, limits, now) ? admittedUncharged : closed;
  }

  /** The database is back: the next outage starts with an empty share. */
  reset(): void {
    this.#tokens = undefined;
    this.#bytes = undefined;
  }

  #spendsShare(need: Pick<Need, "tokens" | "bytes">, limits: SharedLimits, now: number): boolean {
    this.#tokens ??= new Share(now);
    this.#bytes ??= new Share(now);
    const tokens = Number.isFinite(limits.tokensPerSecond) ? need.tokens : 0;
    const bytes = Number.isFinite(limits.bytesPerSecond) ? need.bytes : 0;
    this.#tokens.refill(now, (limits.tokensPerSecond * 1_000) / limits.holders, tokens);
    this.#bytes.refill(now, limits.bytesPerSecond / 1_000 / limits.holders, bytes);
    if (!this.#tokens.holds(tokens) || !this.#bytes.holds(bytes)) return false;
    this.#tokens.take(tokens);
    this.#bytes.take(bytes);
    return true;
  }
}

const admittedUncharged: Decision = Object.freeze(decisionFor(true, "store_unavailable"));
