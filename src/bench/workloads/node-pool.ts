import pg from "pg";
import { withParameter } from "../../postgres/url.ts";
import type { Bench } from "../types.ts";

/** The pool that both sides of a comparison from Node use. Commits do not wait for the disk. */
export function nodePool(bench: Bench, role?: string, max = 16): pg.Pool {
  const settings = `-c synchronous_commit=off${role ? ` -c role=${role}` : ""}`;
  const pool = new pg.Pool({
    connectionString: withParameter(bench.url, "options", settings),
    max,
    // Sessions live through all rounds.
    idleTimeoutMillis: 0,
  });
  pool.on("error", () => {});
  return pool;
}

export const callersFromNode = 32;
