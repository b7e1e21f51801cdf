import net from "node:net";
import pg from "pg";
import { withOption } from "../../postgres/url.ts";
import { logIgnored, pgConfig } from "../../postgres/url-drivers.ts";
import { type UrlTarget, urlTarget } from "../../postgres/url-target.ts";
import type { ClientLogger } from "../options/logger.ts";
import { within } from "../waiting/within.ts";
import { isLeaving, keepsConnection } from "./classify-error.ts";
import type { Connections, ListenConnection, ListenHandlers } from "./connections.ts";
import type { Deadline } from "./deadline.ts";
import { listenWithPg } from "./listen-with-pg.ts";
import { requireAttributes, sessionState } from "./session-state.ts";
import type { Sql } from "./sql.ts";
import { type RunsStatements, sqlOnPg } from "./sql-on-pg.ts";

const defaultSize = 4;
const idleMs = 30_000;
const lifetimeSeconds = 900;
const endMs = 500;
/** Several connections may be rejected for the same reason at once. */
const mostRelaxed = 2;

/** A pool of `pg` for a connection URL. Every socket is known, and can be destroyed. */
export class OwnConnections implements Connections {
  readonly size: number;
  readonly #target: UrlTarget;
  readonly #log: ClientLogger;
  readonly #pool: pg.Pool;
  readonly #sockets = new Set<net.Socket>();
  readonly #openedIn = new WeakMap<object, number>();
  /** After a late call, connections of earlier generations are not trusted. */
  #generation = 0;
  #host = 0;
  #isPooled: boolean;
  #isClosed = false;

  constructor(url: string, timeoutMs: number, log: ClientLogger) {
    const target = urlTarget(url);
    logIgnored(target, "pg", log);
    this.#target = target;
    this.#log = log;
    this.#isPooled = target.isPooled;
    this.size = target.connectionLimit ?? defaultSize;
    this.#pool = new pg.Pool({
      ...this.#config(timeoutMs),
      max: this.size,
      idleTimeoutMillis: idleMs,
      maxLifetimeSeconds: lifetimeSeconds,
      verify: (client: pg.PoolClient, done: (error?: Error) => void) =>
        void this.#inspect(client).then(() => done(), done),
    } as pg.PoolConfig);
    // Without an error listener, a dropped connection crashes the process.
    this.#pool.on("error", () => {});
    this.#pool.on("connect", (client) => {
      client.on("error", () => {});
      this.#openedIn.set(client, this.#generation);
    });
  }

  async run<T>(statement: (sql: Sql) => Promise<T>, deadline: Deadline): Promise<T> {
    const client = await this.#connect(deadline);
    try {
      const answer = await deadline.race(statement(sqlOnPg(client, !this.#isPooled)));
      client.release();
      return answer;
    } catch (error) {
      this.#discard(client, error, deadline);
      throw error;
    }
  }

  listen(handlers: ListenHandlers): Promise<ListenConnection | undefined> {
    return listenWithPg(() => new pg.Client(this.#pool.options), handlers);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await within(endMs, this.#pool.end());
    for (const socket of this.#sockets) socket.destroy();
  }

  #config(timeoutMs: number): pg.ClientConfig {
    const { options = "" } = this.#target;
    // The server gives up before the client does, and says so.
    const statementTimeout = String(Math.ceil(timeoutMs * 0.8));
    const limited = withOption(options, "statement_timeout", statementTimeout);
    return {
      application_name: "storage-qos client",
      connectionTimeoutMillis: timeoutMs,
      keepAlive: true,
      ...pgConfig(this.#target),
      // The functions require this level, whatever the defaults are.
      options: withOption(limited, "default_transaction_isolation", "read committed"),
      stream: () => this.#socket(),
    };
  }

  #socket(): net.Socket {
    const socket = new net.Socket();
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    if (this.#isClosed) socket.destroy();
    return socket;
  }

  async #connect(deadline: Deadline): Promise<pg.PoolClient> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const client = await this.#checkOut(deadline);
        if (this.#openedIn.get(client) === this.#generation) return client;
        client.release(true);
      } catch (error) {
        const isFinal = deadline.isOver || this.#isClosed;
        if (isFinal || !this.#canRepeat(error, attempt)) throw error;
      }
    }
  }

  #canRepeat(error: unknown, attempt: number): boolean {
    if (this.#relax(error)) return attempt <= mostRelaxed;
    if (attempt >= this.#target.hosts.length) return false;
    this.#nextHost();
    return true;
  }

  async #checkOut(deadline: Deadline): Promise<pg.PoolClient> {
    const connecting = this.#pool.connect();
    try {
      return await deadline.race(connecting);
    } catch (error) {
      // A connection that is ready too late goes back to the pool.
      if (deadline.isOver) {
        this.#generation += 1;
        connecting.then((client) => client.release(true)).catch(() => {});
      }
      throw error;
    }
  }

  #discard(client: pg.PoolClient, error: unknown, deadline: Deadline): void {
    // A server that goes or is read-only takes all its connections along.
    if (deadline.isOver || isLeaving(error)) this.#generation += 1;
    const keeps = !deadline.isOver && keepsConnection(error);
    if (keeps) client.release();
    else client.release(true);
    if (deadline.isOver) streamOf(client)?.destroy();
  }

  /** Leaves out what a server or pooler rejects. Answers whether the error was of that kind. */
  #relax(error: unknown): boolean {
    const { code, message = "" } = Object(error) as { code?: string; message?: string };
    if (code === "08P01" && /startup parameter/.test(message)) return this.#leaveOutSettings();
    const isPlain = /does not support SSL/.test(message) && this.#target.tlsMode === "prefer";
    if (isPlain) (this.#pool.options as pg.PoolConfig).ssl = false;
    return isPlain;
  }

  /** PgBouncer rejects parameters that it does not know. The login must have them then. */
  #leaveOutSettings(): true {
    const options = this.#pool.options as pg.PoolConfig;
    if (options.options !== this.#target.options) {
      this.#log.warn("the pooler rejects session settings: the login must have them");
    }
    if (this.#target.options === undefined) delete options.options;
    else options.options = this.#target.options;
    return true;
  }

  #nextHost(): void {
    this.#host = (this.#host + 1) % this.#target.hosts.length;
    const { host, port, ssl } = pgConfig(this.#target, this.#target.hosts[this.#host]);
    Object.assign(this.#pool.options, { host, port, ssl });
  }

  async #inspect(client: pg.PoolClient): Promise<void> {
    const state = await sessionState(client as RunsStatements);
    requireAttributes(this.#target, state);
    // A pooler hands out process ids of its own: what is prepared may be missing at the next call.
    if (state.pid === (client as unknown as { processID: number }).processID) return;
    if (!this.#isPooled) this.#log.info("a connection pooler was detected: nothing is prepared");
    this.#isPooled = true;
  }
}

function streamOf(client: pg.PoolClient): net.Socket | undefined {
  return (client as unknown as { connection?: { stream?: net.Socket } }).connection?.stream;
}
