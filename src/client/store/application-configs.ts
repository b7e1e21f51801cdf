import type { LimitsInForce } from "../config/limits.ts";
import type { CostRuleInForce } from "../costs/cost-schedule.ts";
import { arrayLiteral } from "./array-literal.ts";
import type { Sql } from "./sql.ts";

export interface ConfigRow {
  readonly app_id: string;
  readonly tenant_id: string;
  /** The database's clock, by which cost rules begin and end. */
  readonly now_us: string;
  /** Null: the key has no end, or the application was named by its id. */
  readonly key_valid_ms: number | null;
  readonly limits: LimitsInForce;
  readonly cost_rules: readonly CostRuleInForce[];
}

export interface ErrorRow {
  readonly error: { readonly code: string; readonly message: string };
}

export interface NamedApplication {
  readonly apiKey: string | null;
  readonly application: string | null;
}

/** One row for each application, in their order. */
export async function applicationConfigs(
  sql: Sql,
  names: readonly NamedApplication[],
): Promise<(ConfigRow | ErrorRow)[]> {
  const rows = await sql<{ config: string }[]>`
    select c::text as config
    from rate_limiter.application_configs(
      ${arrayLiteral(names.map(({ apiKey }) => apiKey))}::text::text[],
      ${arrayLiteral(names.map(({ application }) => application))}::text::uuid[]
    ) as c
  `;
  return rows.map(({ config }) => JSON.parse(config));
}
