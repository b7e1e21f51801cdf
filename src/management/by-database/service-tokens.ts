import type { TransactionSql } from "../../postgres/connect.ts";
import type { ManagedServiceTokens, ServiceToken } from "../management.ts";
import { serviceAccountId } from "./service-accounts.ts";

export function serviceTokensIn(sql: TransactionSql): ManagedServiceTokens {
  return {
    list: () => sql<ServiceToken[]>`
      select
        t.name as tenant, u.username as account, s.prefix, s.name, s.permissions,
        to_json(s.created_at) #>> '{}' as created_at,
        to_json(s.expires_at) #>> '{}' as expires_at,
        to_json(s.last_used_at) #>> '{}' as last_used_at,
        to_json(s.revoked_at) #>> '{}' as revoked_at
      from rate_limiter_admin.service_tokens as s
      join rate_limiter.users as u on u.user_id = s.user_id
      join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    `,
    async create(path, { name, expiresAt, permissions }) {
      const [made] = await sql<[{ token: string }]>`
        select token
        from rate_limiter_admin.issue_service_token(
          ${await serviceAccountId(sql, path)}, ${expiresAt}, ${name},
          ${permissions && [...permissions]}::text[]
        )
      `;
      return made.token;
    },
    async revoke([tenant = "", account = "", prefix = ""]) {
      await sql`
        select rate_limiter_admin.revoke_service_token(s.token_id)
        from rate_limiter_admin.service_tokens as s
        where s.user_id = ${await serviceAccountId(sql, [tenant, account])}
          and s.prefix = ${prefix}
          and s.revoked_at is null
      `;
    },
  };
}
