import type { EventEmitter } from "node:events";
import type { Sql } from "../../postgres/connect.ts";
import { paceNotifications } from "../../postgres/pace-notifications.ts";
import { inContext } from "../in-context.ts";
import type { ApiRequest } from "../request.ts";

export interface AlertKey {
  readonly history_id: string;
  readonly triggered_at: string;
}

const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;
/** As PostgreSQL writes it in JSON, and nothing that it could not read. */
const moment = /^([1-9]\d{3}-\d\d-\d\d)T\d\d:\d\d:\d\d(\.\d{1,6})?([+-](0\d|1[0-4]):[0-5]\d)$/;

/** A channel brings the keys of one second as one notification, a list, without what is malformed. */
export function paceAlerts(client: EventEmitter): void {
  paceNotifications(client, {
    ...{ roundMs: 1_000, mostOfRound: 1_000 },
    merge(_channel, payloads) {
      const keys = new Map(
        payloads.flatMap((payload) => {
          const key = alertKeyOf(payload);
          return key === undefined ? [] : [[key.history_id.toLowerCase(), key] as const];
        }),
      );
      return keys.size === 0 ? undefined : JSON.stringify([...keys.values()]);
    },
  });
}

/** Any SQL login may send a notification: what is malformed names no alert. */
export function alertKeyOf(payload: string): AlertKey | undefined {
  try {
    const { history_id, triggered_at } = Object(JSON.parse(payload));
    if (typeof history_id !== "string" || !uuid.test(history_id)) return undefined;
    if (typeof triggered_at !== "string" || !isMoment(triggered_at)) return undefined;
    return { history_id, triggered_at };
  } catch {
    return undefined;
  }
}

function isMoment(text: string): boolean {
  const [, day = ""] = moment.exec(text) ?? [];
  if (day === "" || Number.isNaN(Date.parse(text))) return false;
  return new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
}

/** The alerts of each list that the sender of the request sees: made-up ones are left out. */
export async function* alertsOf(
  sql: Sql,
  request: ApiRequest,
  lists: AsyncIterable<string>,
): AsyncGenerator<AlertKey, void, undefined> {
  for await (const list of lists) {
    const keys = JSON.parse(list) as readonly AlertKey[];
    const seen = await seenOf(sql, request, keys);
    yield* keys.filter(({ history_id }) => seen.has(history_id.toLowerCase()));
  }
}

function seenOf(sql: Sql, request: ApiRequest, keys: readonly AlertKey[]): Promise<Set<string>> {
  return inContext(
    sql,
    request,
    async (transaction) => {
      const rows = await transaction<{ history_id: string }[]>`
        select h.history_id
        from unnest(
          ${keys.map((key) => key.history_id)}::uuid[],
          ${keys.map((key) => key.triggered_at)}::timestamptz[]
        ) as k (history_id, triggered_at)
        join rate_limiter.alert_history as h using (history_id, triggered_at)
      `;
      return new Set(rows.map((row) => row.history_id));
    },
    { role: "rate_limiter_visitor" },
  );
}
