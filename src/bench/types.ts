import type { Sql } from "../postgres/connect.ts";
import type { Driver } from "./driver/driver.ts";

/** Milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

export type Notes = Readonly<Record<string, number>>;

/** One round of one workload. */
export interface Sample {
  /** In the unit of the workload. */
  readonly figure: number;
  readonly latency?: Latency;
  /** What else is worth knowing of this round, by name. */
  readonly notes?: Notes;
}

/** What a workload may use. */
export interface Bench {
  /** The administrator's URL of the benchmark's own database. */
  readonly url: string;
  readonly sql: Sql;
  readonly driver: Driver;
  /** Applications in each group of the world. */
  readonly applications: number;
  /** How long one round of a workload takes. */
  readonly seconds: number;
  readonly quick: boolean;
  /** How long the sustained run takes, outside --quick. */
  readonly sustainedSeconds: number;
  /** How far a ledger grows at most. */
  readonly ledgerRows: number;
}

/** A workload that is ready to run. */
export interface Running {
  round(): Promise<Sample>;
  stop?(): Promise<void>;
}

export interface Workload {
  readonly name: string;
  readonly says: string;
  readonly unit: string;
  /** Measured in the first round only: it takes long, or repeats nothing. */
  readonly once?: boolean;
  /** Started, measured once and stopped when all rounds are over: it would disturb them. */
  readonly afterRounds?: boolean;
  /** Why it cannot run here; undefined where it can. */
  missing?(bench: Bench): Promise<string | undefined>;
  start(bench: Bench): Promise<Running>;
}

export interface Ratio {
  readonly name: string;
  readonly says: string;
  /** Left out where the ratio is only reported. */
  readonly goal?: number;
  /** The goal is an upper bound. */
  readonly atMost?: boolean;
  readonly needs: readonly Workload[];
  /** From one round's samples, in the order of `needs`. */
  value(samples: readonly Sample[]): number;
}
