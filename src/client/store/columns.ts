import type { Sql } from "./sql.ts";

/** Of each function that decides. Numbers come as text: drivers would make doubles of them. */
export const decisionColumns = `
  allowed,
  reason,
  remaining::text,
  remaining_bytes::text,
  retry_after_ms::text,
  delay_ms::text
`;

/** Of each function that leases. */
export const grantColumns = `
  lease_id::text,
  tokens::text,
  bytes::text,
  lifetime_ms::text,
  retry_after_ms::text,
  holders,
  is_limited_tokens,
  is_limited_bytes
`;

/** Drivers know a statement by its array of strings, so each call site keeps one. */
const statements = new WeakMap<TemplateStringsArray, TemplateStringsArray>();

/** Selects the columns by what follows as a template: `from`, and the function. */
export function select<Rows extends readonly unknown[]>(sql: Sql, columns: string) {
  return (strings: TemplateStringsArray, ...values: readonly unknown[]) =>
    sql<Rows>(statementOf(columns, strings), ...values);
}

function statementOf(columns: string, strings: TemplateStringsArray): TemplateStringsArray {
  const known = statements.get(strings);
  if (known !== undefined) return known;
  const [first = "", ...others] = strings;
  const texts = [`select ${columns} ${first}`, ...others];
  const statement = Object.assign(texts, { raw: texts });
  statements.set(strings, statement);
  return statement;
}
