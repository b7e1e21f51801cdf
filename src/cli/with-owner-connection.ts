import { type Sql, withConnection } from "../postgres/connect.ts";
import { withRole } from "../postgres/url.ts";
import { databaseUrlOr } from "../targets/database-url.ts";

/**
 * Connects as the owner, for commands of operators: to the database of DATABASE_URL, or else to the
 * one that `npm start` runs.
 */
export function withOwnerConnection<T>(use: (sql: Sql, url: string) => Promise<T>): Promise<T> {
  const url = withRole(databaseUrlOr("postgres"), "rate_limiter_owner");
  return withConnection(url, (sql) => use(sql, url));
}
