import { requireMoment } from "../cli/arguments.ts";
import type { TransactionSql } from "../postgres/connect.ts";
import { InputError } from "../user-error.ts";
import type { Fields, Item, Resource } from "./resource.ts";

interface AccountRow {
  readonly tenant: string;
  readonly name: string;
  readonly fields: Fields;
}

interface TokenRow extends Omit<AccountRow, "name"> {
  readonly account: string;
  readonly prefix: string;
}

/** Programs, by tenant and name. Service tokens let them in. */
export const serviceAccounts: Resource = {
  name: "service-account",
  plural: "service-accounts",
  aliases: [],
  names: ["tenant", "name"],
  fields: new Map([
    ["role", "a role that is given for good"],
    ["active", "true or false; false ends its tokens for good"],
  ]),
  async list(sql) {
    const rows = await sql<AccountRow[]>`
      select
        t.name as tenant,
        u.username as name,
        jsonb_strip_nulls(jsonb_build_object(
          'active', u.is_active,
          'roles', (
            select jsonb_agg(r.name order by r.name)
            from rate_limiter.user_roles as ur
            join rate_limiter.roles as r on r.role_id = ur.role_id
            where ur.user_id = u.user_id
          )
        )) as fields
      from rate_limiter.users as u
      join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
      where u.is_service_account
      order by t.name, u.username
    `;
    return rows.map(({ tenant, name, fields }) => ({ path: [tenant, name], fields }));
  },
  async create(sql, [tenant = "", name = ""], { given: { role } }) {
    await sql`
      select rate_limiter_admin.create_service_account(
        ${name}, ${role === undefined ? [] : [String(role)]}::text[], null,
        rate_limiter_internal.configured_tenant(${tenant})
      )
    `;
    return {};
  },
  async set(sql, { path }, { given: { active, role } }) {
    const account = await accountOf(sql, path);
    if (typeof active === "boolean") {
      await sql`update rate_limiter.users set is_active = ${active} where user_id = ${account}`;
    }
    if (role !== undefined) {
      await sql`select from rate_limiter_admin.assign_role(${account}, ${String(role)})`;
    }
  },
  async delete(sql, { path }: Item) {
    await sql`delete from rate_limiter.users where user_id = ${await accountOf(sql, path)}`;
    return "deleted";
  },
};

/** Tokens of service accounts: shown when they are made, and known by their first characters. */
export const serviceTokens: Resource = {
  name: "service-token",
  plural: "service-tokens",
  aliases: [],
  names: ["tenant", "account", "prefix"],
  namesAtFirst: ["tenant", "account"],
  fields: new Map([
    ["expires_at", "a moment such as 2027-01-01T00:00Z; it has to be given"],
    ["name", "what people call it"],
    ["permissions", "what it may use of the account's, as in [quota:read]; all where absent"],
  ]),
  async list(sql) {
    const rows = await sql<TokenRow[]>`
      select
        t.name as tenant,
        u.username as account,
        s.prefix,
        jsonb_strip_nulls(jsonb_build_object(
          'name', s.name, 'permissions', s.permissions, 'created_at', s.created_at,
          'expires_at', s.expires_at, 'last_used_at', s.last_used_at, 'revoked_at', s.revoked_at
        )) as fields
      from rate_limiter_admin.service_tokens as s
      join rate_limiter.users as u on u.user_id = s.user_id
      join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
      order by t.name, u.username, s.created_at
    `;
    return rows.map(({ tenant, account, prefix, fields }) => ({
      path: [tenant, account, prefix],
      fields,
    }));
  },
  async create(sql, path, { given: { expires_at: end, name, permissions } }) {
    if (end === undefined) {
      throw new InputError("fields_invalid", "expires_at is missing", "Write expires_at=…");
    }
    const [made] = await sql<{ token: string }[]>`
      select token
      from rate_limiter_admin.issue_service_token(
        ${await accountOf(sql, path)},
        ${requireMoment(String(end), "expires_at")},
        ${name === undefined ? null : String(name)},
        ${permissions === undefined ? null : [permissions].flat().map(String)}::text[]
      )
    `;
    return { token: made?.token };
  },
  async delete(sql, { path: [tenant = "", account = "", prefix = ""] }: Item) {
    await sql`
      select rate_limiter_admin.revoke_service_token(s.token_id)
      from rate_limiter_admin.service_tokens as s
      where s.user_id = ${await accountOf(sql, [tenant, account])}
        and s.prefix = ${prefix}
        and s.revoked_at is null
    `;
    return "revoked";
  },
};

async function accountOf(
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
