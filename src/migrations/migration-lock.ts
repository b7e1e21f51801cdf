import type { Sql } from "../postgres/connect.ts";
import { UserError } from "../user-error.ts";

const lockName = "storage-qos migrate";
const lockNotAvailable = "55P03";

interface Holder {
  readonly pid: number;
  readonly login: string;
  readonly application: string;
  readonly address: string;
  readonly since: string;
}

/** Waits until no other process migrates this database; the lock goes when the session ends. */
export async function lockMigrations(sql: Sql, waitMs: number): Promise<void> {
  try {
    await sql`select set_config('lock_timeout', ${String(waitMs)}, false)`;
    await sql`select pg_advisory_lock(hashtextextended(${lockName}, 0))`;
    await sql`select set_config('lock_timeout', '0', false)`;
  } catch (error) {
    if ((error as { code?: string }).code !== lockNotAvailable) throw error;
    throw locked(await holders(sql), waitMs, error);
  }
}

async function holders(sql: Sql): Promise<readonly Holder[]> {
  return sql<Holder[]>`
    select
      a.pid,
      a.usename::text as login,
      a.application_name as application,
      coalesce(host(a.client_addr), 'local') as address,
      a.backend_start::text as since
    from pg_locks as l
    join pg_stat_activity as a on a.pid = l.pid
    cross join hashtextextended(${lockName}, 0) as k (key)
    where l.locktype = 'advisory'
      and l.granted
      and l.objsubid = 1
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
      and l.classid::bigint = (k.key >> 32) & 4294967295
      and l.objid::bigint = k.key & 4294967295
  `;
}

function locked(found: readonly Holder[], waitMs: number, cause: unknown): UserError {
  const [holder] = found;
  const whose =
    holder === undefined
      ? "a session that has ended since"
      : `process ${holder.pid} (${holder.application}, login ${holder.login}, from ${holder.address}, since ${holder.since})`;
  return new UserError(
    "migration_locked",
    `another session migrates this database for more than ${waitMs / 1000} s: ${whose}`,
    holder === undefined
      ? "Try again."
      : `Wait for it. If no migration runs, end that session: select pg_terminate_backend(${holder.pid});`,
    { cause },
  );
}
