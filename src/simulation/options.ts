export const skews = ["even", "zipf", "bursts", "alternation"] as const;

export type Skew = (typeof skews)[number];

/** What a run simulates. */
export interface SimulationOptions {
  readonly gateways: number;
  readonly applications: number;
  readonly clusters: number;
  readonly tenants: number;
  readonly skew: Skew;
  /** Operations a second, of all applications together; each costs one token. */
  readonly rate: number;
  /** Of an application's quota, what is asked for: more than 1 is more than it may have. */
  readonly load: number;
  /** A cluster's quota, as a part of those of its applications together. */
  readonly layer1: number;
  /** Seconds in which an empty bucket fills: its capacity. */
  readonly burst: number;
  /** Gateways that the requests of one application go to. */
  readonly spread: number;
  readonly rttMs: number;
  readonly seconds: number;
  /** Gateways that die, and begin again a second later. */
  readonly crashes: number;
  /** Gateways that do not reach the database for `cutSeconds`. */
  readonly cuts: number;
  readonly cutSeconds: number;
  readonly seed: number;
}

/** So many seconds pass before anything is measured. */
export const warmUpSeconds = 3;
