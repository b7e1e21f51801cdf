import type { TransactionSql } from "../../postgres/connect.ts";
import type { Key, ManagedKeys } from "../management.ts";

export function keysIn(sql: TransactionSql): ManagedKeys {
  return {
    list: () => sql<Key[]>`
      select
        t.name as tenant, a.name as application, k.prefix, k.name,
        to_json(k.created_at) #>> '{}' as created_at,
        to_json(k.expires_at) #>> '{}' as expires_at,
        to_json(k.revoked_at) #>> '{}' as revoked_at,
        to_json(k.suspended_until) #>> '{}' as suspended_until
      from rate_limiter_admin.api_keys as k
      join rate_limiter.applications as a on a.app_id = k.app_id
      join rate_limiter.tenants as t on t.tenant_id = a.tenant_id
    `,
    async create(path, { name, expiresAt }) {
      const [made] = await sql<[{ api_key: string }]>`
        select api_key
        from rate_limiter_admin.create_api_key(
          rate_limiter_internal.configured_application(${[...path]}::text[]), ${name}, ${expiresAt}
        )
      `;
      return made.api_key;
    },
    async revoke([tenant = "", application = "", prefix = ""]) {
      await sql`
        select rate_limiter_admin.revoke_api_key(k.api_key_id)
        from rate_limiter_admin.api_keys as k
        where k.app_id
            = rate_limiter_internal.configured_application(${[tenant, application]}::text[])
          and k.prefix = ${prefix}
          and k.revoked_at is null
      `;
    },
  };
}
