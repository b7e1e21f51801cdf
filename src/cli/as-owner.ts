import { type Sql, withConnection } from "../postgres/connect.ts";
import { withRole } from "../postgres/url.ts";
import { databaseUrl } from "./database-url.ts";

/** For commands of those who run the system: in the database of DATABASE_URL, as the owner. */
export function asOwner<T>(use: (sql: Sql, url: string) => Promise<T>): Promise<T> {
  const url = withRole(databaseUrl(), "rate_limiter_owner");
  return withConnection(url, (sql) => use(sql, url));
}
