import pg from "pg";
import { within } from "./within.ts";

export const answerMs = 2_000;

export interface CallerConnectionPlan {
  /** Asked at each new connection: a failover leads elsewhere. */
  readonly url: () => string;
  readonly name: string;
}

/** A connection that may go at any time: every answer has its limit, and a new one follows on loss. */
export class CallerConnection {
  readonly #plan: CallerConnectionPlan;
  #client: pg.Client | undefined;

  constructor(plan: CallerConnectionPlan) {
    this.#plan = plan;
  }

  /** The first row. An answer that does not come in time leaves the connection in doubt. */
  async ask(text: string, values: unknown[]): Promise<Record<string, unknown>> {
    const client = await this.#connect();
    const { rows } = await this.#inTime(client.query(text, values));
    return rows[0] ?? {};
  }

  /** Without a word to the server, which may not answer. */
  drop(): void {
    const { connection } = (this.#client ?? {}) as Streaming;
    this.#client = undefined;
    connection?.stream?.destroy();
  }

  async #connect(): Promise<pg.Client> {
    if (this.#client !== undefined) return this.#client;
    const client = new pg.Client({
      connectionString: this.#plan.url(),
      application_name: this.#plan.name,
      connectionTimeoutMillis: answerMs,
      statement_timeout: answerMs * 0.8,
    });
    client.on("error", () => {});
    this.#client = client;
    await this.#inTime(client.connect());
    return client;
  }

  #inTime<T>(work: Promise<T>): Promise<T> {
    return within(answerMs, `an answer to ${this.#plan.name}`, work);
  }
}

interface Streaming {
  readonly connection?: { readonly stream?: { destroy(): void } };
}
