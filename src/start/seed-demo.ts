import { withConnection } from "../postgres/connect.ts";
import { withRole } from "../postgres/url.ts";

/** What the SQL function made in a database without tenants. */
export interface Demo {
  readonly apiKey: string;
}

/** Seeds an empty database; undefined when there are tenants already. */
export async function seedDemo(adminUrl: string): Promise<Demo | undefined> {
  const asOwner = withRole(adminUrl, "rate_limiter_owner");
  const [row] = await withConnection(
    asOwner,
    (sql) => sql<{ apiKey: string | null }[]>`
      select rate_limiter_private.seed_demo() as "apiKey"
    `,
  );
  return row?.apiKey ? { apiKey: row.apiKey } : undefined;
}
