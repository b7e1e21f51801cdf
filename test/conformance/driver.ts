import type { ClientWorld } from "../client/world.ts";

/** What every way of asking answers alike. */
export interface Verdict {
  readonly allowed: boolean;
  readonly reason: string | null;
  readonly layer: number | null;
  /** Null: never at this size. */
  readonly retryAfterMs: number | null;
}

/** One of many that decide for an application side by side. */
export interface Caller {
  /** Rejects with a RequestError where the database raises an error. */
  decide(operation: string, sizeBytes?: number): Promise<Verdict>;
  /** Decides no more: what is in hand has gone back when this is through. */
  rest(): Promise<void>;
  /** Lets go of connections. */
  leave(): Promise<void>;
}

/** A way of asking: SQL, the TypeScript client, or the gateway. */
export interface Driver {
  readonly name: string;
  /** Up to so many side by side. */
  readonly most: number;
  /** Another one for the application; `place` tells those side by side apart. */
  open(world: ClientWorld, place?: number): Promise<Caller>;
  close(): Promise<void>;
  /** The way to the database, where callers lease. */
  readonly link?: { loseAnswers(): void; mend(): void };
}

/** Unknown, revoked or inactive: no decision. */
export class RequestError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export function layerOf(reason: string | null): number | null {
  const layer = /_l(\d)$/.exec(reason ?? "")?.[1];
  return layer === undefined ? null : Number(layer);
}
