import type pg from "pg";
import type { ListenConnection, ListenHandlers } from "./connections.ts";
import { isDirect } from "./session-state.ts";
import type { RunsStatements } from "./sql-on-pg.ts";

/**
 * A client of `pg` that listens; it is destroyed, not ended, so that it never lingers. Undefined
 * behind a pooler in transaction mode: it would hear what is sent in its own transactions alone.
 */
export async function listenWithPg(
  makeClient: () => pg.Client,
  { onNotification, onLoss }: ListenHandlers,
): Promise<ListenConnection | undefined> {
  const client = makeClient();
  client.on("error", onLoss);
  client.on("end", onLoss);
  client.on("notification", ({ channel, payload }) => onNotification(channel, payload ?? ""));
  try {
    await client.connect();
    if (!(await isDirect(client as RunsStatements))) {
      destroy(client);
      return undefined;
    }
  } catch (error) {
    destroy(client);
    throw error;
  }
  const run = async (text: string, values?: string[]) => {
    await client.query(text, values);
  };
  return {
    listen: (channel) => run(`listen "${channel}"`),
    notify: (channel) => run("select pg_notify($1, '')", [channel]),
    ping: () => run("select 1"),
    close: () => destroy(client),
  };
}

/** Without a word to the server, which may not answer. */
export function destroy(client: pg.Client): void {
  const { connection } = client as unknown as { connection?: { stream?: { destroy(): void } } };
  connection?.stream?.destroy();
}
