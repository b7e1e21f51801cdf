import type { Sql } from "./connect.ts";
import { scramVerifier } from "./scram.ts";

/**
 * Makes a login that is a member of the role and whose transactions are read committed, or gives an
 * existing one this password. For a superuser, who alone may bound what a login writes to disk.
 */
export async function ensureLogin(
  sql: Sql,
  login: string,
  role: string,
  password: string,
): Promise<void> {
  // Sent as a verifier: even a server that logs every statement never sees the password.
  const verifier = scramVerifier(password);
  const known = await sql`select from pg_roles where rolname = ${login}`;
  if (known.count === 0) await sql`create role ${sql(login)} login`;
  await sql.unsafe(`alter role "${login}" password '${verifier}'`);
  await sql`grant ${sql(role)} to ${sql(login)}`;
  // Whatever the server's default is: functions refuse every other level.
  await sql`alter role ${sql(login)} set default_transaction_isolation = 'read committed'`;
  // A decision locks buckets until its transaction ends: one that is left open would stop others.
  if (role === "rate_limiter_app") {
    await sql`alter role ${sql(login)} set idle_in_transaction_session_timeout = '5s'`;
    // No statement of a gateway sorts on disk: one that is stolen shall not fill it.
    await sql`alter role ${sql(login)} set temp_file_limit = '100MB'`;
  }
}
