import { requireMoment } from "../cli/arguments.ts";
import type { TransactionSql } from "../postgres/connect.ts";
import type { Fields, Item, Resource } from "./resource.ts";

interface KeyRow {
  readonly tenant: string;
  readonly application: string;
  readonly prefix: string;
  readonly fields: Fields;
}

/** API keys: shown when they are made, and known by their first characters from then on. */
export const keys: Resource = {
  name: "key",
  plural: "keys",
  aliases: ["api-key", "api-keys"],
  names: ["tenant", "application", "prefix"],
  namesAtFirst: ["tenant", "application"],
  fields: new Map([
    ["name", "what people call it"],
    ["expires_at", "a moment such as 2027-01-01T00:00Z"],
  ]),
  async list(sql) {
    const rows = await sql<KeyRow[]>`
      select
        t.name as tenant,
        a.name as application,
        k.prefix,
        jsonb_strip_nulls(jsonb_build_object(
          'name', k.name, 'created_at', k.created_at, 'expires_at', k.expires_at,
          'revoked_at', k.revoked_at, 'suspended_until', k.suspended_until
        )) as fields
      from rate_limiter_admin.api_keys as k
      join rate_limiter.applications as a on a.app_id = k.app_id
      join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
      order by t.name, a.name, k.created_at
    `;
    return rows.map(({ tenant, application, prefix, fields }) => ({
      path: [tenant, application, prefix],
      fields,
    }));
  },
  create: (sql, path, { given }) => createKey(sql, path, given),
  async delete(sql, { path: [tenant = "", application = "", prefix = ""] }: Item) {
    await sql`
      select rate_limiter_admin.revoke_api_key(k.api_key_id)
      from rate_limiter_admin.api_keys as k
      where k.app_id = rate_limiter_internal.configured_application(${[tenant, application]}::text[])
        and k.prefix = ${prefix}
        and k.revoked_at is null
    `;
    return "revoked";
  },
};

async function createKey(
  sql: TransactionSql,
  path: readonly string[],
  { name, expires_at: end }: Fields,
): Promise<Fields> {
  const until = end === undefined ? null : requireMoment(String(end), "expires_at");
  const [made] = await sql<{ api_key: string }[]>`
    select api_key
    from rate_limiter_admin.create_api_key(
      rate_limiter_internal.configured_application(${path}::text[]),
      ${name === undefined ? null : String(name)},
      ${until}
    )
  `;
  return { api_key: made?.api_key };
}
