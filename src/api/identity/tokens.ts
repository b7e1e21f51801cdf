import type { Sql } from "../../postgres/connect.ts";
import { signAccessToken } from "./access-token.ts";
import { accessTokenSeconds } from "./access-token-seconds.ts";
import type { SigningKeys } from "./signing-keys.ts";

/** A session as the database made or continued it. */
export interface Session {
  readonly userId: string;
  readonly sessionId: string;
  readonly refreshToken: string;
  readonly refreshExpiresAt: string;
  readonly sessionExpiresAt: string;
}

/** What a client gets to hold. */
export interface Tokens {
  readonly accessToken: string;
  readonly accessTokenExpiresAt: string;
  readonly refreshToken: string;
  readonly refreshTokenExpiresAt: string;
  readonly sessionExpiresAt: string;
}

export async function tokensFor(sql: Sql, keys: SigningKeys, session: Session): Promise<Tokens> {
  const now = Math.floor(Date.now() / 1000);
  const sessionEnd = Math.floor(Date.parse(session.sessionExpiresAt) / 1000);
  const expiresAt = Math.min(now + (await accessTokenSeconds(sql)), sessionEnd);
  return {
    accessToken: await signAccessToken({ ...session, expiresAt }, keys),
    accessTokenExpiresAt: new Date(expiresAt * 1000).toISOString(),
    refreshToken: session.refreshToken,
    refreshTokenExpiresAt: new Date(session.refreshExpiresAt).toISOString(),
    sessionExpiresAt: new Date(session.sessionExpiresAt).toISOString(),
  };
}
