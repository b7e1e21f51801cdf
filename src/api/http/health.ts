import { setTimeout as sleep } from "node:timers/promises";
import type { Sql } from "../../postgres/connect.ts";

const timeoutMs = 2_000;

/**
 * Whether the database answers within a bounded time, and takes writes: a link may drop packets
 * without an error, and after a failover the name may lead to a server that is read-only.
 */
export function isDatabaseReady(sql: Sql): Promise<boolean> {
  const asked = sql`
    select
      not pg_catalog.pg_is_in_recovery()
      and pg_catalog.current_setting('transaction_read_only') = 'off' as can_write
  `.then(
    (rows) => rows[0]?.can_write === true,
    () => false,
  );
  return Promise.race([asked, sleep(timeoutMs, false, { ref: false })]);
}
