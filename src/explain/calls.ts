/** A decision as a caller sends it. `n` tells its repetitions apart. */
export interface ExplainedCall {
  /** Runs before each repetition and is not explained. */
  readonly prepare?: (n: number) => string;
  readonly statement: (n: number) => string;
}

/** The application `full 1` of the benchmark's world: both kinds of quota, and layer 1. */
const application = "md5('full 1')::uuid";
const key = "'qos_' || lpad('full-1', 43, 'k')";
const reference = (n: number) => `'explain-${n}'`;

export const explainedCalls: Readonly<Record<string, ExplainedCall>> = {
  consume: {
    statement: () => `select * from rate_limiter.consume(${application}, 'read_small', 4096)`,
  },
  consume_with_key: {
    statement: () => `select * from rate_limiter.consume_with_key(${key}, 'read_small', 4096)`,
  },
  check_limit: {
    statement: () => `select * from rate_limiter.check_limit(${application}, 'read_small', 4096)`,
  },
  lease_tokens: {
    statement: () => `select * from rate_limiter.lease_tokens(${application}, 1000, 1000000)`,
  },
  settle: {
    prepare: (n) =>
      `select from rate_limiter.consume(${application}, 'read_medium', 65536, ${reference(n)})`,
    statement: (n) => `select * from rate_limiter.settle(${application}, ${reference(n)}, 32768)`,
  },
};
