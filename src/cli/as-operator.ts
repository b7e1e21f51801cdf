import type { TransactionSql } from "../postgres/connect.ts";
import { retryLocks } from "../postgres/retry-locks.ts";
import { inTransaction } from "../postgres/transaction.ts";
import { localDeclaration } from "../settings/local.ts";
import { readSettings } from "../settings/read-settings.ts";
import { withOwnerConnection } from "./with-owner-connection.ts";

/**
 * Runs work in one transaction in the name of a system administrator, by the same functions and the
 * same row-level security as the admin API. The login has to be a member of the owner.
 */
export function asOperator<T>(
  email: string | undefined,
  work: (sql: TransactionSql) => Promise<T>,
): Promise<T> {
  const named = email ?? readSettings(process.env, localDeclaration).operator;
  // Another session may hold locks in another order; all of a transaction is undone, and done again.
  return withOwnerConnection((sql) =>
    retryLocks(() =>
      inTransaction(sql, async (transaction) => {
        await become(transaction, named);
        return work(transaction);
      }),
    ),
  );
}

async function become(sql: TransactionSql, email: string | undefined): Promise<void> {
  await sql`
    select
      set_config(
        'rate_limiter.user_id', rate_limiter_private.operator(${email ?? null})::text, true
      ),
      set_config('rate_limiter.user_agent', 'storage-qos command line', true),
      set_config('role', 'rate_limiter_visitor', true)
  `;
}
