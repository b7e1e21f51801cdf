import type { Sql } from "../../postgres/connect.ts";
import { notSignedIn } from "../api-error.ts";
import { type Identity, verifyAccessToken } from "./access-token.ts";
import type { OidcVerifier } from "./oidc.ts";
import { sessionLasts } from "./session-lasts.ts";
import type { SigningKeys } from "./signing-keys.ts";
import { userOfEmail } from "./user-of-email.ts";

const bearer = /^Bearer +([\w.~+/-]+=*)$/i;

export interface Authenticator {
  /** Nobody without a header; throws QS401 for a header that proves nothing. */
  identify(authorization: string | undefined): Promise<Identity | undefined>;
}

export function authenticator(
  sql: Sql,
  keys: SigningKeys,
  oidc: OidcVerifier | undefined,
): Authenticator {
  async function identityOf(token: string): Promise<Identity | undefined> {
    if (oidc?.claims(token)) return foreignIdentity(sql, oidc, token);
    const identity = await verifyAccessToken(token, keys);
    return identity !== undefined && (await sessionLasts(sql, identity)) ? identity : undefined;
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
  const userId = claims && (await userOfEmail(sql, claims.email, claims.tenant));
  return userId ? { userId, expiresAt: claims.expiresAt } : undefined;
}
