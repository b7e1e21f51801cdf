import { UserError } from "../user-error.ts";
import { type Sql, withConnection } from "./connect.ts";

/** Enough for a pooler to hand the idle session of one connection to another. */
const rounds = 3;

/**
 * Refuses a pooler of transactions: a lock of a session, a role that was set and what it listens to
 * would stay with a session of the pool, for other clients. While another connection holds a
 * transaction open, this one must keep the session that it had, and the other must have another.
 */
export async function requireOneSession(url: string, hint: string): Promise<void> {
  try {
    await withConnection(url, async (sql) => {
      const first = await processOf(sql);
      for (let round = 0; round < rounds; round++) {
        const other = await withConnection(url, (beside) =>
          beside.begin(async (transaction) => {
            const process = await processOf(transaction);
            if ((await processOf(sql)) !== first) throw pooled(hint);
            return process;
          }),
        );
        if (other === first) throw pooled(hint);
      }
    });
  } catch (error) {
    throw isRefusedParameter(error) ? pooled(hint, error) : error;
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

function pooled(hint: string, cause?: unknown): UserError {
  return new UserError(
    "connection_is_pooled",
    "the connection is not one session with settings of its own: a pooler is between",
    hint,
    { cause },
  );
}
