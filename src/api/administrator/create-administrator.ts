import { randomBytes } from "node:crypto";
import type { Sql } from "../../postgres/connect.ts";
import { newPasswordHash } from "../passwords/new-password-hash.ts";

export interface NewAdministrator {
  readonly tenant: string;
  readonly username: string;
  readonly email: string;
}

export interface Administrator extends NewAdministrator {
  /** Shown once: only its hash is stored. */
  readonly password: string;
}

export const usualAdministrator: NewAdministrator = {
  tenant: "operators",
  username: "administrator",
  email: "admin@storage-qos.example",
};

/** Makes a system administrator, with a password of 144 random bits unless one is given. */
export async function createAdministrator(
  sql: Sql,
  wanted: NewAdministrator = usualAdministrator,
  password: string = randomBytes(18).toString("base64url"),
): Promise<Administrator> {
  const { tenant, username, email } = wanted;
  const hash = await newPasswordHash(sql, password, [tenant, username, email]);
  await sql`
    select rate_limiter_private.create_administrator(${tenant}, ${username}, ${email}, ${hash})
  `;
  return { ...wanted, password };
}
