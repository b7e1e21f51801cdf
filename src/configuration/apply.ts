import type { TransactionSql } from "../postgres/connect.ts";
import type { Change } from "./change.ts";
import type { Configuration } from "./configuration.ts";
import { refusalOf } from "./refusal.ts";
import { wantedObjects } from "./wanted-objects.ts";

export interface ApplyOptions {
  readonly reason: string;
  readonly prune: boolean;
  readonly takeOver: boolean;
}

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
        ${sql.json(wantedObjects(configuration))}, ${reason}, ${managedBy}, ${prune}, ${takeOver}
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
