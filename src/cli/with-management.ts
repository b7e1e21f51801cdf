import { apiManagement } from "../management/by-api/api-management.ts";
import { databaseManagement } from "../management/by-database/database-management.ts";
import type { Management } from "../management/management.ts";
import { apiTarget } from "../targets/api-target.ts";
import { InputError } from "../user-error.ts";
import { asOperator } from "./as-operator.ts";

/** Runs work by the admin API where one is named, else in one transaction of the database. */
export function withManagement<T>(
  email: string | undefined,
  work: (management: Management) => Promise<T>,
): Promise<T> {
  const target = apiTarget();
  if (target === undefined) return asOperator(email, (sql) => work(databaseManagement(sql)));
  if (email === undefined) return work(apiManagement(target));
  throw new InputError(
    "bad_usage",
    "--as is for databases: the token says in whose name the API is asked",
    "Leave it out, or use the token of that account.",
  );
}
