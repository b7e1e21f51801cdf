import type { LimiterError } from "./errors.ts";
import type { Layer3State } from "./leases/layer3.ts";

export interface ApplicationStatus {
  /**
   * `rejected`: the key or the application is not valid. `outage`: the database does not answer,
   * and the outage policy decides what no lease can pay.
   */
  readonly state: "loading" | "ready" | "outage" | "rejected" | "closed";
  readonly application: string | undefined;
  /** What is left of the leases, never negative; Infinity where unlimited. */
  readonly lease: {
    readonly state: Layer3State;
    readonly tokens: number;
    readonly bytes: number;
    readonly expiresInMs: number;
  };
  /** Used beyond leases and not charged yet. */
  readonly owed: { readonly tokens: number; readonly bytes: number };
  /** Clients that held leases when last seen, this one included. */
  readonly holders: number;
  /** A leaky bucket or a shadow quota: every operation goes to the database. */
  readonly decidedByDatabase: boolean;
  readonly allowed: number;
  readonly denied: number;
  /** Admitted by the outage policy without being charged. */
  readonly uncharged: number;
  readonly lastError: LimiterError | undefined;
}

export interface LimiterStatus {
  /** Whether notifications arrive, or changes are polled. */
  readonly changes: "listening" | "polling";
  readonly isDown: boolean;
  readonly storeCalls: number;
  readonly storeFailures: number;
  readonly outages: number;
  readonly applications: number;
  readonly lastError: LimiterError | undefined;
}
