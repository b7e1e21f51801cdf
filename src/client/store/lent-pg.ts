import type pg from "pg";
import { BusyError } from "../errors.ts";
import { keepsConnection, lostStatement } from "./classify-error.ts";
import type { Connections, ListenConnection, ListenHandlers } from "./connections.ts";
import type { Deadline } from "./deadline.ts";
import { destroy, listenWithPg } from "./listen-with-pg.ts";
import { isDirect } from "./session-state.ts";
import type { Sql } from "./sql.ts";
import { type RunsStatements, sqlOnPg } from "./sql-on-pg.ts";

const defaultSize = 16;
const connectMs = 2_000;

/** A pool of `pg` as far as it is used; only query() is required. */
export interface PgPool extends RunsStatements {
  connect?(): Promise<PgPoolClient>;
  readonly options?: { readonly max?: number };
}

interface PgPoolClient extends RunsStatements {
  release(discards?: boolean): void;
}

/** The caller's pool of `pg`, which stays open. */
export class LentPg implements Connections {
  readonly size: number;
  readonly #pool: PgPool;
  readonly #listeners = new Set<pg.Client>();
  #isPrepared: boolean | undefined;

  constructor(pool: PgPool) {
    this.#pool = pool;
    this.size = pool.options?.max ?? defaultSize;
  }

  async run<T>(statement: (sql: Sql) => Promise<T>, deadline: Deadline): Promise<T> {
    if (this.#pool.connect === undefined) return this.#runOn(this.#pool, statement, deadline);
    const client = await this.#checkOut(deadline);
    try {
      const answer = await this.#runOn(client, statement, deadline);
      client.release();
      return answer;
    } catch (error) {
      client.release(deadline.isOver || !keepsConnection(error));
      throw error;
    }
  }

  async listen(handlers: ListenHandlers): Promise<ListenConnection | undefined> {
    const { Client, options } = this.#pool as unknown as pg.Pool & { Client?: typeof pg.Client };
    if (Client === undefined || options === undefined) return undefined;
    return listenWithPg(() => this.#add(new Client(boundOptions(options))), handlers);
  }

  async close(): Promise<void> {
    for (const listener of this.#listeners) destroy(listener);
  }

  #add(listener: pg.Client): pg.Client {
    this.#listeners.add(listener);
    listener.once("end", () => this.#listeners.delete(listener));
    return listener;
  }

  async #checkOut(deadline: Deadline): Promise<PgPoolClient> {
    const pool = this.#pool as unknown as pg.Pool;
    const isFull = pool.idleCount === 0 && pool.totalCount >= (pool.options?.max ?? defaultSize);
    const connecting = pool.connect() as unknown as Promise<PgPoolClient>;
    try {
      return await deadline.race(connecting);
    } catch (error) {
      if (!deadline.isOver) throw error;
      connecting.then((client) => client.release()).catch(() => {});
      // An exhausted pool says nothing about the database.
      throw isFull ? new BusyError("all connections of the pool are in use", error) : error;
    }
  }

  async #runOn<T>(
    client: RunsStatements,
    statement: (sql: Sql) => Promise<T>,
    deadline: Deadline,
  ): Promise<T> {
    this.#isPrepared ??= await deadline.race(isDirect(client));
    try {
      return await deadline.race(statement(sqlOnPg(client, this.#isPrepared)));
    } catch (error) {
      if (lostStatement(error)) this.#isPrepared = false;
      throw error;
    }
  }
}

/** By default `pg` waits for a connection without an end. A copy, for the pool hides its password. */
function boundOptions(options: pg.PoolConfig): pg.ClientConfig {
  const copy = Object.defineProperties({}, Object.getOwnPropertyDescriptors(options));
  const bound: pg.ClientConfig = copy;
  bound.connectionTimeoutMillis ||= connectMs;
  return bound;
}
