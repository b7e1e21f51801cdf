import type { Script } from "../script.ts";
import type { Sample } from "../types.ts";

export type DriverName = "pgbench" | "postgres";

export interface Load {
  readonly script: Script;
  /** URL of the database, with the role and settings that sessions start with. */
  readonly url: string;
  readonly clients: number;
  readonly seconds: number;
  /** The variable `n` is drawn from 1 to here. */
  readonly population: number;
  /** Transactions offered per second; as many as possible where left out. */
  readonly offered?: number;
}

/** Generates load on the database: transactions per second and their latencies. */
export interface Driver {
  readonly name: DriverName;
  run(load: Load): Promise<Sample>;
}
