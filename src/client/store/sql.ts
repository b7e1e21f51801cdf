import type postgres from "postgres";

/** A pool of porsager/postgres: the caller's own, or ours. */
export type Sql = postgres.Sql;
