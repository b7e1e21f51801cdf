import type { Sql } from "../../postgres/connect.ts";
import { notSignedIn } from "../api-error.ts";
import type { Identity } from "../identity/access-token.ts";
import { sessionIsActive } from "../identity/session-is-active.ts";
import { userIsActive } from "../identity/user-is-active.ts";
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
  for await (const event of events) {
    if (Date.now() >= identity.expiresAt * 1000) return;
    if (!(await lasts(sql, request, identity))) return;
    yield event;
  }
}

const asked = new WeakMap<Sql, Map<string, Promise<boolean>>>();

/** Streams of one session that ask at the same time share the answer. */
function lasts(sql: Sql, request: ApiRequest, identity: Identity): Promise<boolean> {
  const answers = asked.get(sql) ?? new Map<string, Promise<boolean>>();
  asked.set(sql, answers);
  const key =
    identity.sessionId ?? identity.serviceTokenId ?? `${identity.userId} ${identity.issuedAt}`;
  const known = answers.get(key);
  if (known !== undefined) return known;
  const answer = (
    identity.sessionId === undefined ? userIsActive(sql, request) : sessionIsActive(sql, identity)
  ).finally(() => answers.delete(key));
  answers.set(key, answer);
  return answer;
}
