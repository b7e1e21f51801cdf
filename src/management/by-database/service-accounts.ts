import type { TransactionSql } from "../../postgres/connect.ts";
import type { ManagedServiceAccounts, ServiceAccount } from "../management.ts";

export function serviceAccountsIn(sql: TransactionSql): ManagedServiceAccounts {
  return {
    list: () => sql<ServiceAccount[]>`
      select
        t.name as tenant, u.username as name, u.is_active as active,
        array(
          select r.name
          from rate_limiter.user_roles as ur
          join rate_limiter.roles as r on r.role_id = ur.role_id
          where ur.user_id = u.user_id
        ) as roles
      from rate_limiter.users as u
      join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
      where u.is_service_account
    `,
    async create([tenant = "", name = ""], role) {
      await sql`
        select rate_limiter_admin.create_service_account(
          ${name}, ${role === null ? [] : [role]}::text[], null,
          rate_limiter_internal.configured_tenant(${tenant})
        )
      `;
    },
    async change(path, { active, role }) {
      const account = await serviceAccountId(sql, path);
      if (active !== null) {
        await sql`update rate_limiter.users set is_active = ${active} where user_id = ${account}`;
      }
      if (role !== null) await sql`select from rate_limiter_admin.assign_role(${account}, ${role})`;
    },
    async delete(path) {
      const account = await serviceAccountId(sql, path);
      await sql`delete from rate_limiter.users where user_id = ${account}`;
    },
  };
}

export async function serviceAccountId(
  sql: TransactionSql,
  [tenant = "", name = ""]: readonly string[],
): Promise<string | null> {
  const [row] = await sql<{ user_id: string }[]>`
    select u.user_id
    from rate_limiter.users as u
    where u.tenant_id = rate_limiter_internal.configured_tenant(${tenant})
      and u.username = ${name}
      and u.is_service_account
  `;
  return row?.user_id ?? null;
}
