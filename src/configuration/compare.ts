import type { TransactionSql } from "../postgres/connect.ts";
import type { Change } from "./change.ts";
import type { Configuration } from "./configuration.ts";
import { wantedObjects } from "./wanted-objects.ts";

/** What applying a configuration would change. */
export async function compareConfiguration(
  sql: TransactionSql,
  configuration: Configuration,
  { prune }: { readonly prune: boolean },
): Promise<readonly Change[]> {
  const { managedBy } = configuration;
  return sql<Change[]>`
    select entry, action, kind, path, before, after, manager
    from rate_limiter_admin.compare_configuration(
      ${sql.json(wantedObjects(configuration))}, ${managedBy}, ${prune}
    )
  `;
}
