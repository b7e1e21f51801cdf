import type { Decision } from "./decision.ts";

/** What an admission from a lease shows of the application, evaluated on read. */
export interface Standing {
  readonly remaining: number;
  readonly remainingBytes: number | null;
  readonly limit: number | null;
  readonly resetMs: number | null;
}

/** Shared by every admission from a lease of one application. */
export class Admission implements Decision {
  readonly allowed = true;
  readonly layer = null;
  readonly reason = null;
  readonly shadow = null;
  readonly retryAfterMs = 0;
  readonly delayMs = 0;
  readonly #standing: () => Standing;

  constructor(standing: () => Standing) {
    this.#standing = standing;
    Object.freeze(this);
  }

  get remaining(): number {
    return this.#standing().remaining;
  }

  get remainingBytes(): number | null {
    return this.#standing().remainingBytes;
  }

  get limit(): number | null {
    return this.#standing().limit;
  }

  get resetMs(): number | null {
    return this.#standing().resetMs;
  }
}
