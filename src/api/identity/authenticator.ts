import type { Sql } from "../../postgres/connect.ts";
import { notSignedIn } from "../api-error.ts";
import { type Identity, verifyAccessToken } from "./access-token.ts";
import type { OidcVerifier } from "./oidc.ts";
import { accountOfServiceToken, isServiceToken } from "./service-token.ts";
import type { SigningKeys } from "./signing-keys.ts";
import { tenantOfSession } from "./tenant-of-session.ts";
import { userOfProvider } from "./user-of-provider.ts";

const bearer = /^Bearer +([\w.~+/-]+=*)$/i;

export interface Authenticator {
  /** Undefined without a header; throws QS401 for an invalid one. */
  identify(authorization: string | undefined): Promise<Identity | undefined>;
}

export function authenticator(
  sql: Sql,
  keys: SigningKeys,
  oidc: OidcVerifier | undefined,
): Authenticator {
  async function identityOf(token: string): Promise<Identity | undefined> {
    if (isServiceToken(token)) return accountOfServiceToken(sql, token);
    if (oidc?.claims(token)) return foreignIdentity(sql, oidc, token);
    const claims = await verifyAccessToken(token, keys);
    const tenant = claims && (await tenantOfSession(sql, claims));
    return tenant ? { ...claims, tenant } : undefined;
  }

  return {
    async identify(authorization) {
      if (authorization === undefined) return undefined;
      const token = bearer.exec(authorization)?.[1];
      const identity = token === undefined ? undefined : await identityOf(token);
      if (identity === undefined) throw notSignedIn();
      return identity;
    },
  };
}

async function foreignIdentity(
  sql: Sql,
  oidc: OidcVerifier,
  token: string,
): Promise<Identity | undefined> {
  const claims = await oidc.verify(token);
  const userId = claims && (await userOfProvider(sql, claims));
  if (!userId) return undefined;
  const { tenant, issuedAt, expiresAt } = claims;
  return { userId, tenant, issuedAt, expiresAt };
}
