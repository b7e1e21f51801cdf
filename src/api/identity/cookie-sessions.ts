import { ApiError } from "../api-error.ts";
import { inContext } from "../in-context.ts";
import type { ApiRequest } from "../request.ts";
import type { Identity } from "./access-token.ts";
import type { SignInParts } from "./credential-check.ts";
import { refreshSession } from "./refresh-session.ts";
import type { SessionCookies } from "./session-cookies.ts";
import { type Credentials, signIn } from "./sign-in.ts";
import type { SigningKeys } from "./signing-keys.ts";
import { type Session, tokensFor } from "./tokens.ts";

type Expiry = Readonly<
  Record<"accessTokenExpiresAt" | "refreshTokenExpiresAt" | "sessionExpiresAt", string>
>;

/** Sessions of pages, which learn when their tokens end and never what they are. */
export function cookieSessions(parts: SignInParts, keys: SigningKeys) {
  async function keep(session: Session, cookies: SessionCookies): Promise<Expiry> {
    const tokens = await tokensFor(parts.sql, keys, session);
    cookies.keep(tokens);
    const { accessTokenExpiresAt, refreshTokenExpiresAt, sessionExpiresAt } = tokens;
    return { accessTokenExpiresAt, refreshTokenExpiresAt, sessionExpiresAt };
  }

  /** By the refresh token: one that was spent ends its session by itself. */
  async function ownerOf(
    { refreshToken }: SessionCookies,
    request: ApiRequest,
  ): Promise<Identity | undefined> {
    if (refreshToken === undefined) return undefined;
    try {
      const { userId, sessionId } = await refreshSession(parts.sql, refreshToken, request);
      return { userId, sessionId, tenant: "", expiresAt: 0 };
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return undefined;
      throw error;
    }
  }

  async function endSession(identity: Identity, request: ApiRequest): Promise<void> {
    const owner = { ...request, identity };
    await inContext(parts.sql, owner, (sql) => sql`select rate_limiter_admin.logout()`, {
      role: "rate_limiter_visitor",
    });
  }

  async function endBefore(cookies: SessionCookies, request: ApiRequest): Promise<void> {
    const owner = await ownerOf(cookies, request);
    if (owner !== undefined) await endSession(owner, request);
  }

  return {
    async start(credentials: Credentials, request: ApiRequest): Promise<Expiry> {
      const cookies = cookiesOf(request);
      const session = await signIn(parts, credentials, request);
      // Its cookies are replaced: no request would ever end it.
      await endBefore(cookies, request);
      return keep(session, cookies);
    },

    async refresh(request: ApiRequest): Promise<Expiry> {
      const cookies = cookiesOf(request);
      if (cookies.refreshToken === undefined) throw noSession();
      return keep(await refreshSession(parts.sql, cookies.refreshToken, request), cookies);
    },

    async end(request: ApiRequest): Promise<void> {
      const cookies = cookiesOf(request);
      const identity = request.identity ?? (await ownerOf(cookies, request));
      if (identity !== undefined) await endSession(identity, request);
      cookies.forget();
    },
  };
}

function cookiesOf({ cookies }: ApiRequest): SessionCookies {
  if (cookies !== undefined) return cookies;
  const hint = "Send the header X-Cookie-Session, from a page of the API's origin.";
  throw new ApiError("QS400", "request is not about cookies", hint);
}

function noSession(): ApiError {
  return new ApiError("QS401", "refresh token no longer works", "Sign in again.");
}
