import { hashPassword } from "../../api/passwords/password-hash.ts";
import type { Sql } from "../../postgres/connect.ts";

/** Of both administrators of the world, for as long as the benchmark has its database. */
export const password = "benchmarks hash one password once";

const hashCost = 14;

/** Two tenants with an administrator each; the attacker has much to read. */
export async function makeAttackedWorld(sql: Sql, auditRows: number): Promise<readonly string[]> {
  const hash = await hashPassword(password, hashCost);
  await sql`
    with tenant as (
      insert into rate_limiter.tenants (name) values ('attacker'), ('victim')
      returning tenant_id, name
    ),
    made as (
      insert into rate_limiter.users (tenant_id, username, email)
      select t.tenant_id, t.name, t.name || '@example.org' from tenant as t
      returning user_id
    ),
    secret as (
      insert into rate_limiter_private.user_secrets (user_id, password_hash)
      select m.user_id, ${hash} from made as m
    )
    insert into rate_limiter.user_roles (user_id, role_id)
    select m.user_id, r.role_id
    from made as m
    join rate_limiter.roles as r on r.name = 'tenant_admin'
  `;
  await sql`
    insert into rate_limiter.applications (tenant_id, name)
    select t.tenant_id, 'application ' || n
    from rate_limiter.tenants as t
    cross join generate_series(1, 50) as n
    where t.name in ('attacker', 'victim')
  `;
  await sql`
    insert into rate_limiter_audit.audit_logs (tenant_id, action, entity_type, new_values)
    select t.tenant_id, 'update', 'applications', jsonb_build_object('n', n, 'note', repeat('x', 200))
    from rate_limiter.tenants as t
    cross join generate_series(1, ${auditRows}::integer) as n
    where t.name = 'attacker'
  `;
  const rows = await sql<{ id: string }[]>`
    select a.app_id as id
    from rate_limiter.applications as a
    join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
    where t.name = 'attacker'
  `;
  return rows.map(({ id }) => id);
}
