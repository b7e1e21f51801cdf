import type { Sql } from "../../../src/postgres/connect.ts";
import type { Session, TestDatabase } from "../../harness/index.ts";

export async function pair(database: TestDatabase): Promise<readonly [Session, Session]> {
  return [
    await database.session("first", "rate_limiter_owner"),
    await database.session("second", "rate_limiter_owner"),
  ];
}

/** Both at once: the second comes while the first has not committed. Answers both. */
export async function raced<One, Two>(
  database: TestDatabase,
  one: (sql: Sql) => PromiseLike<One>,
  two: (sql: Sql) => PromiseLike<Two>,
): Promise<readonly [One, Two]> {
  const [first, second] = await pair(database);
  await first.sql`begin`;
  const answer = await one(first.sql);
  const pending = second.start(two);
  await second.waitsOnLock();
  await first.sql`commit`;
  return [answer, await pending];
}
