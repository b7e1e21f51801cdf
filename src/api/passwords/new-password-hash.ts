import type { Sql } from "../../postgres/connect.ts";
import { hashPassword } from "./password-hash.ts";
import { checkPassword } from "./password-rules.ts";

/** The hash of a password that operators give, by the rules of the settings; throws for a weak one. */
export async function newPasswordHash(
  sql: Sql,
  password: string,
  names: readonly string[],
): Promise<string> {
  const [rules] = await sql<{ shortest: string; hashCost: string }[]>`
    select r.shortest, r.hash_cost as "hashCost" from rate_limiter_private.password_rules() as r
  `;
  await checkPassword(password, { shortest: Number(rules?.shortest), names });
  return hashPassword(password, Number(rules?.hashCost));
}
