import type { Sql } from "../../postgres/connect.ts";
import { notSignedIn } from "../api-error.ts";
import { sessionLasts } from "../identity/session-lasts.ts";
import type { ApiRequest } from "../request.ts";

/**
 * Passes events on as long as the sign-in that asked for them lasts: a stream outlives neither
 * its access token nor its session.
 */
export async function* whileSignedIn<T>(
  sql: Sql,
  { identity }: ApiRequest,
  events: AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  if (identity === undefined) throw notSignedIn();
  for await (const event of events) {
    if (Date.now() >= identity.expiresAt * 1000) return;
    if (identity.sessionId !== undefined && !(await sessionLasts(sql, identity))) return;
    yield event;
  }
}
