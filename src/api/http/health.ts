import { setTimeout as sleep } from "node:timers/promises";
import type { Sql } from "../../postgres/connect.ts";

const patienceMilliseconds = 2_000;

/** Whether the database answers, and soon: a link that swallows everything is no answer. */
export function isDatabaseReady(sql: Sql): Promise<boolean> {
  const asked = sql`select pg_catalog.pg_is_in_recovery() as replica`.then(
    (rows) => rows[0]?.replica === false,
    () => false,
  );
  return Promise.race([asked, sleep(patienceMilliseconds, false, { ref: false })]);
}
