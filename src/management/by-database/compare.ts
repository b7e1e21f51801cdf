import type { Change } from "../../configuration/change.ts";
import type { Configuration } from "../../configuration/configuration.ts";
import { wantedObjects } from "../../configuration/wanted-objects.ts";
import type { TransactionSql } from "../../postgres/connect.ts";

/** What applying a configuration would change. */
export async function compareConfiguration(
  sql: TransactionSql,
  configuration: Configuration,
  prune: boolean,
): Promise<readonly Change[]> {
  const { managedBy } = configuration;
  return sql<Change[]>`
    select entry, action, kind, path, before, after, manager
    from rate_limiter_admin.compare_configuration(
      ${sql.json(wantedObjects(configuration) as never)}, ${managedBy}, ${prune}
    )
  `;
}
