import type { Change } from "../../configuration/change.ts";
import type { Configuration } from "../../configuration/configuration.ts";
import { refusalOf } from "../../configuration/refusal.ts";
import { wantedObjects } from "../../configuration/wanted-objects.ts";
import type { TransactionSql } from "../../postgres/connect.ts";
import type { ApplyOptions } from "../management.ts";

/** Makes what stands as the configuration wants it, in one statement; answers what it changed. */
export async function applyConfiguration(
  sql: TransactionSql,
  configuration: Configuration,
  { reason, prune, takeOver }: ApplyOptions,
): Promise<readonly Change[]> {
  const { managedBy } = configuration;
  try {
    return await sql<Change[]>`
      select entry, action, kind, path, before, after
      from rate_limiter_admin.apply_configuration(
        ${sql.json(wantedObjects(configuration) as never)}, ${reason}, ${managedBy}, ${prune}, ${takeOver}
      )
    `;
  } catch (error) {
    throw refusalOf(error, configuration) ?? error;
  }
}

/** Does the same and takes all of it back: answers what it would change, or what is refused. */
export async function rehearseConfiguration(
  sql: TransactionSql,
  configuration: Configuration,
  options: ApplyOptions,
): Promise<readonly Change[]> {
  await sql`savepoint rehearsal`;
  const changes = await applyConfiguration(sql, configuration, options);
  // What is checked at a commit is checked now: there will be none.
  await sql`set constraints all immediate`;
  await sql`rollback to savepoint rehearsal`;
  return changes;
}
