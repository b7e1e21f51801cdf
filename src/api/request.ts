import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { Identity } from "./identity/access-token.ts";
import type { SessionCookies } from "./identity/session-cookies.ts";

/** What is known of a request; the audit keeps it. */
export interface ApiRequest {
  readonly requestId: string;
  readonly ipAddress: string | undefined;
  readonly userAgent: string | undefined;
  readonly identity?: Identity | undefined;
  /** Where the tokens of the session are kept as cookies, for a page that asks for it. */
  readonly cookies?: SessionCookies | undefined;
  /** Makes a change that is sent again be made once. */
  readonly idempotencyKey?: string | undefined;
  /** Says what a change would do, and undoes it. */
  readonly isDryRun?: boolean;
}

/** An id that a caller may choose: nothing that could forge a log line. */
const goodId = /^[\w.-]{1,100}$/;

export function describeRequest(message: IncomingMessage, trustedProxies: number): ApiRequest {
  const given = message.headers["x-request-id"];
  return {
    requestId: typeof given === "string" && goodId.test(given) ? given : randomUUID(),
    ipAddress: addressOf(message, trustedProxies),
    userAgent: message.headers["user-agent"]?.slice(0, 500),
    idempotencyKey: headerOf(message, "idempotency-key"),
    isDryRun: headerOf(message, "x-dry-run") === "true",
  };
}

function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const given = headers[name];
  return typeof given === "string" ? given : undefined;
}

/** Each trusted proxy appends the address it was called from: count them from the end. */
function addressOf(message: IncomingMessage, trustedProxies: number): string | undefined {
  const forwarded = [message.headers["x-forwarded-for"] ?? []].flat().join(",").split(",");
  const chain = [...forwarded.map((part) => part.trim()), message.socket.remoteAddress ?? ""];
  const address = chain.at(-1 - trustedProxies) ?? "";
  const plain = address.replace(/^::ffff:(?=\d+\.)/, "");
  return isIP(plain) === 0 ? undefined : plain;
}

/** As the database knows them: `rate_limiter.user_id` and so on. */
export function requestClaims({
  requestId,
  ipAddress,
  userAgent,
  identity,
}: ApiRequest): Record<string, string> {
  const claims = {
    user_id: identity?.userId,
    session_id: identity?.sessionId,
    service_token_id: identity?.serviceTokenId,
    token_issued_at: momentOf(identity?.issuedAt),
    request_id: requestId,
    ip_address: ipAddress,
    user_agent: userAgent,
  };
  // Empty and not absent, so that no claim of an earlier request stays set.
  return Object.fromEntries(
    Object.entries(claims).map(([name, value]) => [`rate_limiter.${name}`, value ?? ""]),
  );
}

function momentOf(secondsSince1970: number | undefined): string | undefined {
  return secondsSince1970 === undefined
    ? undefined
    : new Date(secondsSince1970 * 1000).toISOString();
}
