import { type Sql, withConnection } from "../postgres/connect.ts";
import { UserError } from "../user-error.ts";

/** Enough for a pooler to hand the idle session of one connection to another. */
const rounds = 3;

/**
 * Refuses a pooler of transactions: a lock of a session and a role that was set would stay with a
 * session of the pool, for other clients. While another connection holds a transaction open, this one
 * must keep the session that it had, and the other must have another.
 */
export async function requireOneSession(url: string): Promise<void> {
  try {
    await withConnection(url, async (sql) => {
      const first = await processOf(sql);
      for (let round = 0; round < rounds; round++) {
        const other = await withConnection(url, (beside) =>
          beside.begin(async (transaction) => {
            const process = await processOf(transaction);
            if ((await processOf(sql)) !== first) throw pooled();
            return process;
          }),
        );
        if (other === first) throw pooled();
      }
    });
  } catch (error) {
    throw isRefusedParameter(error) ? pooled(error) : error;
  }
}

async function processOf(sql: Pick<Sql, "unsafe">): Promise<number> {
  // A prepared statement would be one of a session too.
  const [row] = await sql.unsafe<[{ pid: number }]>("select pg_backend_pid() as pid");
  return row.pid;
}

/** What PgBouncer answers to the settings that a session of ours starts with. */
function isRefusedParameter(error: unknown): boolean {
  return /unsupported startup parameter/.test((error as Error).message ?? "");
}

function pooled(cause?: unknown): UserError {
  return new UserError(
    "connection_is_pooled",
    "the connection is not one session with settings of its own: a pooler is between",
    "Migrate by a direct connection to the server, or by the pooler's port for whole sessions. " +
      "Nothing was changed.",
    { cause },
  );
}

/** The same of the role that migrations run as: a pooler may drop the options of a connection. */
export async function requireRole(ownerUrl: string, role: string): Promise<void> {
  const [row] = await withConnection(ownerUrl, (sql) =>
    sql.unsafe<[{ name: string }]>("select current_user::text as name"),
  );
  if (row.name === role) return;
  throw new UserError(
    "role_not_in_effect",
    `the session is ${row.name} and not ${role}: a pooler drops the options of the connection`,
    "Migrate by a direct connection to the server.",
  );
}
