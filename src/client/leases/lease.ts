import { decimalOf, largestAmount, safeMillionthsOf, wholeOf } from "../costs/amount.ts";
import type { Amounts } from "./amounts.ts";

/** The threshold of an early renewal where there is none. */
const never = 0;

/** A row of lease_tokens() or renew_lease(). */
export interface LeaseGrant {
  readonly lease_id: string | null;
  readonly tokens: string;
  readonly bytes: string;
  readonly lifetime_ms: string;
  /** Null: never under the current quotas. */
  readonly retry_after_ms: string | null;
  readonly holders: number;
  readonly is_limited_tokens: boolean;
  readonly is_limited_bytes: boolean;
}

/**
 * What is left of a lease: tokens, bytes, and for each the threshold of an early renewal, zero or
 * more. A typed array, because writing a double into an object's field can allocate.
 */
export type Balance = Float64Array & { 0: number; 1: number; 2: number; 3: number };

/** A lease that is spent in this process. Tokens are millionths. */
export class Lease {
  readonly id: string | null;
  readonly tokens: number;
  readonly bytes: number;
  /** On this process's monotonic clock, in milliseconds. */
  readonly expiresAt: number;
  readonly balance: Balance;

  constructor(id: string | null, tokens: number, bytes: number, expiresAt: number) {
    this.id = id;
    this.tokens = tokens;
    this.bytes = bytes;
    this.expiresAt = expiresAt;
    this.balance = Float64Array.of(tokens, bytes, never, never) as Balance;
  }

  /** Its life counts from `askedAt`, before the call, so that it never outlives the database's. */
  static of(grant: LeaseGrant, askedAt: number): Lease {
    return new Lease(
      grant.lease_id,
      grant.is_limited_tokens ? safeMillionthsOf(grant.tokens) : Number.POSITIVE_INFINITY,
      grant.is_limited_bytes ? wholeOf(grant.bytes) : Number.POSITIVE_INFINITY,
      askedAt + Number(grant.lifetime_ms),
    );
  }

  get tokensLeft(): number {
    return this.balance[0];
  }

  get bytesLeft(): number {
    return this.balance[1];
  }

  get isToBeRenewed(): boolean {
    return this.balance[0] < this.balance[2] || this.balance[1] < this.balance[3];
  }

  holds(tokens: number, bytes: number): boolean {
    return tokens <= this.tokensLeft && bytes <= this.bytesLeft;
  }

  take(tokens: number, bytes: number): void {
    this.balance[0] -= tokens;
    this.balance[1] -= bytes;
  }

  /** Credits what an operation did not need; answers what exceeds the grant. */
  putBack(tokens: number, bytes: number): Amounts {
    const tokensBack = Math.min(tokens, roomOf(this.tokens, this.tokensLeft));
    const bytesBack = Math.min(bytes, roomOf(this.bytes, this.bytesLeft));
    this.balance[0] += tokensBack;
    this.balance[1] += bytesBack;
    return { tokens: tokens - tokensBack, bytes: bytes - bytesBack };
  }

  /** Renew at about half, randomized so that clients do not ask in step. */
  renewAtHalf(random: number): void {
    const share = 0.4 + 0.2 * random;
    this.balance[2] = thresholdOf(this.tokens, share);
    this.balance[3] = thresholdOf(this.bytes, share);
  }

  neverRenew(): void {
    this.balance[2] = never;
    this.balance[3] = never;
  }

  get spentTokens(): number {
    return Number.isFinite(this.tokens) ? this.tokens - this.tokensLeft : 0;
  }

  get spentBytes(): number {
    return Number.isFinite(this.bytes) ? this.bytes - this.bytesLeft : 0;
  }

  /** For SQL. */
  get spent(): { readonly tokens: string; readonly bytes: string } {
    return { tokens: decimalOf(this.spentTokens), bytes: String(this.spentBytes) };
  }
}

/** An unlimited balance has room for everything. */
function roomOf(granted: number, left: number): number {
  return Number.isFinite(granted) ? granted - left : largestAmount;
}

/** Without a grant there is no early renewal. */
function thresholdOf(granted: number, share: number): number {
  return granted > 0 && Number.isFinite(granted) ? Math.floor(granted * share) : never;
}
