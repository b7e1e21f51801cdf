import { randomBytes } from "node:crypto";
import type { Sql } from "../../postgres/connect.ts";
import { InputError } from "../../user-error.ts";
import { newPasswordHash } from "../passwords/new-password-hash.ts";

/** Gives the active user with this address a new password; answers it. */
export async function resetPassword(
  sql: Sql,
  email: string,
  tenant?: string,
  password: string = randomBytes(18).toString("base64url"),
): Promise<string> {
  const users = await sql<{ id: string }[]>`
    select u.user_id as id
    from rate_limiter.users as u
    join rate_limiter.tenants as t on t.tenant_id = u.tenant_id
    where lower(u.email) = lower(${email})
      and u.is_active
      and (${tenant ?? null}::text is null or t.name = ${tenant ?? null})
  `;
  const [user] = users;
  if (user === undefined || users.length > 1) {
    throw new InputError(
      "unknown_user",
      `not one active user with the address ${email}`,
      "Check the address; name the tenant with --tenant where several have it.",
    );
  }
  const hash = await newPasswordHash(sql, password, [email]);
  await sql`select rate_limiter_private.set_password(${user.id}, ${hash})`;
  return password;
}
