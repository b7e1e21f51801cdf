/**
 * Whether the databases of this run keep samples in hypertables: QOS_TEST_SAMPLES=hypertables, with
 * a DATABASE_URL of a server that has TimescaleDB. test/timescale/suites.test.ts runs suites so.
 */
export const hasHypertables = process.env.QOS_TEST_SAMPLES === "hypertables";

/** Where the rows of a table of samples are. */
export const storeOf = (table: string) =>
  `${hasHypertables ? "rate_limiter_partitions" : "rate_limiter"}.${table}`;
