import type { Sql } from "../../postgres/connect.ts";
import { notSignedIn } from "../api-error.ts";
import { sessionLasts } from "../identity/session-lasts.ts";
import { userLasts } from "../identity/user-lasts.ts";
import type { ApiRequest } from "../request.ts";

/**
 * Passes events on as long as the sign-in that asked for them lasts: a stream outlives neither
 * its access token, nor its session, nor its user.
 */
export async function* whileSignedIn<T>(
  sql: Sql,
  request: ApiRequest,
  events: AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  const { identity } = request;
  if (identity === undefined) throw notSignedIn();
  const lasts = () =>
    identity.sessionId === undefined ? userLasts(sql, request) : sessionLasts(sql, identity);
  for await (const event of events) {
    if (Date.now() >= identity.expiresAt * 1000) return;
    if (!(await lasts())) return;
    yield event;
  }
}
