import type { TransactionSql } from "../../postgres/connect.ts";
import type { Management, Setting } from "../management.ts";
import { applyConfiguration, rehearseConfiguration } from "./apply.ts";
import { compareConfiguration } from "./compare.ts";
import { keysIn } from "./keys.ts";
import { previewQuota } from "./preview.ts";
import { readConfiguration } from "./read-configuration.ts";
import { serviceAccountsIn } from "./service-accounts.ts";
import { serviceTokensIn } from "./service-tokens.ts";
import { usageOverTime } from "./usage.ts";
import { usersIn } from "./users.ts";
import { whyThrottled } from "./why-throttled.ts";

/** Everything of one command is one transaction. */
export function databaseManagement(sql: TransactionSql): Management {
  return {
    configuration: () => readConfiguration(sql),
    compare: (configuration, prune) => compareConfiguration(sql, configuration, prune),
    apply: (configuration, options) =>
      (options.isRehearsal ? rehearseConfiguration : applyConfiguration)(
        sql,
        configuration,
        options,
      ),
    keys: keysIn(sql),
    users: usersIn(sql),
    serviceAccounts: serviceAccountsIn(sql),
    serviceTokens: serviceTokensIn(sql),
    settings: () => sql<Setting[]>`
      select
        s.key, s.value, s.value_type as type, s.minimum::text, s.maximum::text, s.choices,
        s.description, s.is_sensitive
      from rate_limiter.system_settings as s
    `,
    async setSetting(key, value) {
      await sql`select from rate_limiter_admin.set_setting(${key}, ${value})`;
    },
    why: (path, operation, bytes) => whyThrottled(sql, path, operation, bytes),
    usage: (path, span) => usageOverTime(sql, path, span),
    preview: (path, limits) => previewQuota(sql, path, limits),
    async operations() {
      const rows = await sql<{ name: string }[]>`
        select o.name from rate_limiter.operation_types as o where o.is_active
      `;
      return rows.map(({ name }) => name);
    },
  };
}
