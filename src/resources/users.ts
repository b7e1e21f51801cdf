import type { Fields, Item, Resource } from "./resource.ts";

interface UserRow {
  readonly tenant: string;
  readonly email: string;
  readonly fields: Fields;
}

/** People, by tenant and address. They sign in once reset-password has given them a password. */
export const users: Resource = {
  name: "user",
  plural: "users",
  aliases: [],
  names: ["tenant", "email"],
  fields: new Map([
    ["username", "what people call them"],
    ["role", "a role that is given for good"],
    ["active", "true or false"],
  ]),
  async list(sql) {
    const rows = await sql<UserRow[]>`
      select
        t.name as tenant,
        u.email,
        jsonb_strip_nulls(jsonb_build_object(
          'username', u.username,
          'active', u.is_active,
          'last_login_at', u.last_login_at,
          'roles', (
            select jsonb_agg(r.name order by r.name)
            from rate_limiter.user_roles as ur
            join rate_limiter.roles as r on r.role_id = ur.role_id
            where ur.user_id = u.user_id
          )
        )) as fields
      from rate_limiter.users as u
      join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
      where not u.is_service_account
      order by t.name, u.email
    `;
    return rows.map(({ tenant, email, fields }) => ({ path: [tenant, email], fields }));
  },
  async create(sql, [tenant = "", email = ""], { given: { username, role } }) {
    const [made] = await sql<{ user_id: string }[]>`
      insert into rate_limiter.users (tenant_id, username, email)
      values (
        rate_limiter_internal.configured_tenant(${tenant}), ${String(username ?? email)}, ${email}
      )
      returning user_id
    `;
    if (role !== undefined) {
      await sql`
        select from rate_limiter_admin.assign_role(${made?.user_id ?? null}, ${String(role)})
      `;
    }
    return {};
  },
  async set(sql, { path: [tenant = "", email = ""] }, { given: { username, active, role } }) {
    const [changed] = await sql<{ user_id: string }[]>`
      update rate_limiter.users as u
      set
        username = coalesce(${username === undefined ? null : String(username)}, u.username),
        is_active = coalesce(${typeof active === "boolean" ? active : null}, u.is_active)
      where u.tenant_id = rate_limiter_internal.configured_tenant(${tenant})
        and u.email = ${email}
      returning u.user_id
    `;
    if (role !== undefined) {
      await sql`
        select from rate_limiter_admin.assign_role(${changed?.user_id ?? null}, ${String(role)})
      `;
    }
  },
  async delete(sql, { path: [tenant = "", email = ""] }: Item) {
    await sql`
      delete from rate_limiter.users as u
      where u.tenant_id = rate_limiter_internal.configured_tenant(${tenant})
        and u.email = ${email}
    `;
    return "deleted";
  },
};
