import type postgres from "postgres";

/** A pool of porsager/postgres: the caller's own, or ours. */
export type Sql = postgres.Sql;

/** As much as is asked of a pool of `pg`. */
export interface PgPool {
  query(query: {
    readonly name: string;
    readonly text: string;
    readonly values: unknown[];
  }): Promise<{ rows: unknown[] }>;
}
