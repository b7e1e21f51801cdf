import type { LimiterError } from "./errors.ts";

export interface ApplicationStatus {
  /**
   * `refused`: the key or the application is no longer served. `outage`: the database does not
   * answer and the outage policy decides what no lease can pay.
   */
  readonly state: "loading" | "ready" | "outage" | "refused" | "closed";
  readonly application: string | undefined;
  /** What is in hand; Infinity where no quota limits it. */
  readonly lease: {
    readonly tokens: number;
    readonly bytes: number;
    readonly expiresInMs: number;
  };
  /** Clients that were spending at last sight, this one included. */
  readonly holders: number;
  /** A leaky bucket or a shadow quota: every operation goes to the database. */
  readonly decidedByDatabase: boolean;
  readonly allowed: number;
  readonly denied: number;
  /** Allowed by the outage policy, without being charged. */
  readonly uncharged: number;
  readonly lastError: LimiterError | undefined;
}

export interface LimiterStatus {
  /** Whether changes are told, or have to be looked for. */
  readonly changes: "listening" | "polling";
  readonly isDown: boolean;
  readonly storeCalls: number;
  readonly storeFailures: number;
  readonly outages: number;
  readonly applications: number;
  readonly lastError: LimiterError | undefined;
}
