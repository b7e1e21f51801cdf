import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { ApiError, notSignedIn } from "../api-error.ts";
import type { Tokens } from "./tokens.ts";

/** A session whose tokens are cookies: the page that it belongs to never reads them. */
export interface SessionCookies {
  readonly refreshToken: string | undefined;
  keep(tokens: Tokens): void;
  forget(): void;
}

/**
 * Without this header cookies count for nothing. A page of another origin cannot send it unless a
 * CORS preflight allows it, and none does.
 */
export const cookieHeader = "x-cookie-session";

/** `use` asks for a session that lasts; `begin` starts or continues one. */
type Wish = "use" | "begin";

/** Undefined for a request that is not about cookies; throws where they may not be used. */
export function cookiesAskedFor({ headers }: IncomingMessage): Wish | undefined {
  const wish = headers[cookieHeader];
  if (wish === undefined || headers.authorization !== undefined) return undefined;
  if (wish !== "use" && wish !== "begin") {
    throw new ApiError("QS400", "invalid X-Cookie-Session", "Give use or begin.");
  }
  requireSameOrigin(headers);
  return wish;
}

/** As an Authorization header has it. */
export function authorizationOfCookie(
  { headers }: IncomingMessage,
  production: boolean,
): string | undefined {
  const token = cookiesOf(headers).get(cookieNames(production).access);
  return token === undefined ? undefined : `Bearer ${token}`;
}

/** A socket carries the cookies of its handshake, which a page of any origin can begin. */
export function authorizationOfSocket(message: IncomingMessage, production: boolean): string {
  requireSameOrigin(message.headers);
  const authorization = authorizationOfCookie(message, production);
  if (authorization === undefined) throw notSignedIn();
  return authorization;
}

export function sessionCookies(
  { headers }: IncomingMessage,
  response: ServerResponse,
  production: boolean,
): SessionCookies {
  const names = cookieNames(production);
  const set = (name: string, value: string, seconds: number) =>
    response.appendHeader("Set-Cookie", cookie(name, value, seconds, production));
  return {
    refreshToken: cookiesOf(headers).get(names.refresh),
    keep(tokens) {
      set(names.access, tokens.accessToken, secondsUntil(tokens.accessTokenExpiresAt));
      set(names.refresh, tokens.refreshToken, secondsUntil(tokens.refreshTokenExpiresAt));
    },
    forget() {
      for (const name of Object.values(names)) set(name, "", 0);
    },
  };
}

/** Browsers keep `__Host-` cookies for TLS and this very host alone. In production TLS is a must. */
function cookieNames(production: boolean) {
  const prefix = production ? "__Host-" : "";
  return { access: `${prefix}qos_access`, refresh: `${prefix}qos_refresh` };
}

function cookie(name: string, value: string, seconds: number, production: boolean): string {
  const attributes = ["Path=/", "HttpOnly", "SameSite=Strict", `Max-Age=${seconds}`];
  return [`${name}=${value}`, ...attributes, ...(production ? ["Secure"] : [])].join("; ");
}

function secondsUntil(moment: string): number {
  return Math.max(0, Math.floor((Date.parse(moment) - Date.now()) / 1000));
}

function cookiesOf({ cookie: given = "" }: IncomingHttpHeaders): Map<string, string> {
  const pairs = given.split(";").map((pair) => pair.trim().split("=", 2) as [string, string]);
  return new Map(pairs.filter(([name, value]) => name && value));
}

/**
 * Browsers say where a request comes from, and scripts cannot change it. What says nothing is not
 * a page, and has no use for cookies.
 */
function requireSameOrigin({ origin, host, ...headers }: IncomingHttpHeaders): void {
  const site = headers["sec-fetch-site"];
  const isSame = site === undefined ? origin !== undefined && hostOf(origin) === host : false;
  if (isSame || site === "same-origin") return;
  const hint = "Cookies are for pages of this origin. Send an Authorization header.";
  throw new ApiError("QS403", "cookies of another origin", hint);
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
