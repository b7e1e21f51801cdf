import type { Sql } from "../../postgres/connect.ts";
import type { ApiRequest } from "../request.ts";
import { alertChannel } from "./alert-channel.ts";

/**
 * Passes alerts on as long as their channel is the one that the sender of the request may hear: a
 * role that is taken away ends them too.
 */
export async function* whileAuthorized<T>(
  sql: Sql,
  request: ApiRequest,
  channel: string,
  events: AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  for await (const event of events) {
    if ((await alertChannel(sql, request)) !== channel) return;
    yield event;
  }
}
