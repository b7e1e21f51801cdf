import { type Sql, withConnection } from "../postgres/connect.ts";
import { withRole } from "../postgres/url.ts";

/** Connects with the right to decide: a login of gateways has it, any other becomes the owner. */
export async function withDecidingConnection<T>(
  url: string,
  use: (sql: Sql) => Promise<T>,
): Promise<T> {
  const isGateway = await withConnection(url, isMemberOfApp);
  return withConnection(isGateway ? url : withRole(url, "rate_limiter_owner"), use);
}

async function isMemberOfApp(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ is_member: boolean }[]>`
    select coalesce(pg_has_role(r.oid, 'usage'), false) as is_member
    from pg_roles as r
    where r.rolname = 'rate_limiter_app'
  `;
  return row?.is_member ?? false;
}
