import type { Sql, TransactionSql } from "../postgres/connect.ts";
import { inTransaction } from "../postgres/transaction.ts";
import { type ApiRequest, requestClaims } from "./request.ts";

/** Runs work in a transaction that knows the request, as the audit wants it. */
export async function inContext<T>(
  sql: Sql,
  request: ApiRequest,
  work: (sql: TransactionSql) => Promise<T>,
  settings: Readonly<Record<string, string>> = {},
): Promise<T> {
  const all = { ...settings, ...requestClaims(request) };
  return inTransaction(sql, async (transaction) => {
    await transaction`
      select set_config(names.name, given.value, true)
      from unnest(${Object.keys(all)}::text[]) with ordinality as names (name, position)
      join unnest(${Object.values(all)}::text[]) with ordinality as given (value, position)
        using (position)
    `;
    return work(transaction);
  });
}
