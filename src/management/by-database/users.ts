import type { TransactionSql } from "../../postgres/connect.ts";
import type { ManagedUsers, User } from "../management.ts";

export function usersIn(sql: TransactionSql): ManagedUsers {
  const assign = (userId: string | undefined, role: string | null) =>
    role !== null && sql`select from rate_limiter_admin.assign_role(${userId ?? null}, ${role})`;

  return {
    list: () => sql<User[]>`
      select
        t.name as tenant, u.email::text, u.username, u.is_active as active,
        to_json(u.last_login_at) #>> '{}' as last_login_at,
        array(
          select r.name
          from rate_limiter.user_roles as ur
          join rate_limiter.roles as r on r.role_id = ur.role_id
          where ur.user_id = u.user_id
        ) as roles
      from rate_limiter.users as u
      join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
      where not u.is_service_account
    `,
    async create([tenant = "", email = ""], { username, role }) {
      const [made] = await sql<{ user_id: string }[]>`
        insert into rate_limiter.users (tenant_id, username, email)
        values (rate_limiter_internal.configured_tenant(${tenant}), ${username ?? email}, ${email})
        returning user_id
      `;
      await assign(made?.user_id, role);
    },
    async change([tenant = "", email = ""], { username, active, role }) {
      const [changed] = await sql<{ user_id: string }[]>`
        update rate_limiter.users as u
        set
          username = coalesce(${username}, u.username),
          is_active = coalesce(${active}, u.is_active)
        where u.tenant_id = rate_limiter_internal.configured_tenant(${tenant})
          and u.email = ${email}
        returning u.user_id
      `;
      await assign(changed?.user_id, role);
    },
    async delete([tenant = "", email = ""]) {
      await sql`
        delete from rate_limiter.users as u
        where u.tenant_id = rate_limiter_internal.configured_tenant(${tenant})
          and u.email = ${email}
      `;
    },
  };
}
