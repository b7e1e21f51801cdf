import { withConnection } from "../postgres/connect.ts";
import { UserError } from "../user-error.ts";

/** Refuses a session that has not the role that migrations run as: a pooler may drop the options of a connection. */
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
