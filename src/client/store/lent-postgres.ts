import type { Connections, ListenConnection, ListenHandlers } from "./connections.ts";
import type { Deadline } from "./deadline.ts";
import type { Sql } from "./sql.ts";

const defaultSize = 16;

/**
 * The caller's pool of `postgres`, which stays open. The driver offers no way to discard one
 * connection: a path that swallows packets is noticed, and ends with the driver's own keepalive.
 */
export class LentPostgres implements Connections {
  readonly size: number;
  readonly #sql: Sql;
  readonly #alive = `qos_alive_${crypto.randomUUID()}`;

  constructor(sql: Sql) {
    this.#sql = sql;
    this.size = Math.max(sql.options?.max ?? defaultSize, 1);
  }

  run<T>(statement: (sql: Sql) => Promise<T>, deadline: Deadline): Promise<T> {
    return deadline.race(statement(this.#sql));
  }

  async listen({ onNotification, onLoss }: ListenHandlers): Promise<ListenConnection> {
    const sql = this.#sql;
    const unlisten: (() => Promise<void>)[] = [];
    return {
      async listen(channel) {
        let isFirst = true;
        // The driver reconnects by itself, and calls back each time.
        const onListen = () => {
          if (!isFirst) onLoss();
          isFirst = false;
        };
        const onPayload = (payload: string) => onNotification(channel, payload);
        unlisten.push((await sql.listen(channel, onPayload, onListen)).unlisten);
      },
      notify: async (channel) => void (await sql.notify(channel, "")),
      ping: async () => (await sql.listen(this.#alive, () => {})).unlisten(),
      close() {
        for (const stop of unlisten) stop().catch(() => {});
      },
    };
  }

  async close(): Promise<void> {}
}
