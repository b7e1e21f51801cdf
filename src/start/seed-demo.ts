import { withConnection } from "../postgres/connect.ts";
import { withRole } from "../postgres/url.ts";

/** What the SQL function made in a database without tenants. */
export interface Demo {
  readonly apiKey: string;
  /** Whose key it is, for people. */
  readonly owner: string;
}

export const demoOwner = "photos, an application of the tenant demo";

/** Seeds an empty database; undefined when there are tenants already. */
export async function seedDemo(adminUrl: string): Promise<Demo | undefined> {
  const withOwnerConnection = withRole(adminUrl, "rate_limiter_owner");
  const [row] = await withConnection(
    withOwnerConnection,
    (sql) => sql<{ apiKey: string | null }[]>`
      select rate_limiter_private.seed_demo() as "apiKey"
    `,
  );
  return row?.apiKey ? { apiKey: row.apiKey, owner: demoOwner } : undefined;
}
