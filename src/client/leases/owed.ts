import { randomUUID } from "node:crypto";
import { decimalOf, largestAmount } from "../costs/amount.ts";
import type { OwedCharge } from "../store/charge-owed.ts";
import type { Amounts } from "./amounts.ts";

/**
 * What one application used beyond its leases and what is not charged yet. It is charged step by
 * step; an unanswered charge is repeated unchanged, under the same key.
 */
export class Owed {
  #tokens = 0;
  #bytes = 0;
  #charge: (Amounts & { readonly key: string }) | undefined;

  get isEmpty(): boolean {
    return this.#charge === undefined && this.#tokens === 0 && this.#bytes === 0;
  }

  /** Tokens are millionths. */
  get amounts(): Amounts {
    return {
      tokens: this.#tokens + (this.#charge?.tokens ?? 0),
      bytes: this.#bytes + (this.#charge?.bytes ?? 0),
    };
  }

  add({ tokens, bytes }: Amounts): void {
    this.#tokens = Math.min(this.#tokens + tokens, largestAmount);
    this.#bytes = Math.min(this.#bytes + bytes, largestAmount);
  }

  /** Takes amounts off what is not being charged yet; answers what is left of them. */
  reduce({ tokens, bytes }: Amounts): Amounts {
    const fewerTokens = Math.min(tokens, this.#tokens);
    const fewerBytes = Math.min(bytes, this.#bytes);
    this.#tokens -= fewerTokens;
    this.#bytes -= fewerBytes;
    return { tokens: tokens - fewerTokens, bytes: bytes - fewerBytes };
  }

  /** Removes and answers what is not being charged yet. */
  take(): Amounts {
    const amounts = { tokens: this.#tokens, bytes: this.#bytes };
    this.#tokens = 0;
    this.#bytes = 0;
    return amounts;
  }

  /** The charge to make; it stays the same until charged() is called. */
  get charge(): OwedCharge | undefined {
    if (this.isEmpty) return undefined;
    this.#charge ??= { ...this.take(), key: randomUUID() };
    const { tokens, bytes, key } = this.#charge;
    return { tokens: decimalOf(tokens), bytes: String(bytes), idempotencyKey: key };
  }

  charged(): void {
    this.#charge = undefined;
  }
}
