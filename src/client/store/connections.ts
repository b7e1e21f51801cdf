import type { Deadline } from "./deadline.ts";
import type { Sql } from "./sql.ts";

/** The connections that the store uses: a pool of its own, or one of the caller's. */
export interface Connections {
  /** How many calls may be in flight. */
  readonly size: number;
  /** A connection whose call was late or failed in a way that persists is discarded. */
  run<T>(statement: (sql: Sql) => Promise<T>, deadline: Deadline): Promise<T>;
  /** Opens a connection that listens; undefined where the pool or a pooler offers no way to do so. */
  listen(handlers: ListenHandlers): Promise<ListenConnection | undefined>;
  /** Closes what was opened here, by force where the database does not answer. */
  close(): Promise<void>;
}

export interface ListenHandlers {
  onNotification(channel: string, payload: string): void;
  /** The connection was lost, or replaced: notifications may be missing. */
  onLoss(): void;
}

export interface ListenConnection {
  listen(channel: string): Promise<void>;
  notify(channel: string): Promise<void>;
  /** A round trip on the listening connection. */
  ping(): Promise<void>;
  close(): void;
}
