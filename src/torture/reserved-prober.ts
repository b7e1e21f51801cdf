import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Receipts } from "./receipts.ts";
import type { TorturedApp } from "./world.ts";

/**
 * Asks for half of what its application has reserved, evenly, past every disturbed way: whenever
 * the database answers, layer 1 must admit it.
 */
export class ReservedProber {
  readonly #url: () => string;
  readonly #app: TorturedApp;
  readonly #receipts: Receipts;
  readonly #stopping = new AbortController();
  #done: Promise<void> | undefined;

  constructor(url: () => string, app: TorturedApp, receipts: Receipts) {
    this.#url = url;
    this.#app = app;
    this.#receipts = receipts;
  }

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    let client: pg.Client | undefined;
    while (!this.#stopping.signal.aborted) {
      await sleep(2_000 / this.#app.reserved);
      try {
        client ??= await this.#connect();
        await this.#ask(client);
      } catch {
        await client?.end().catch(() => {});
        client = undefined;
        await sleep(100);
      }
    }
    await client?.end().catch(() => {});
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({
      ...{ connectionString: this.#url(), application_name: "torture reserved" },
      ...{ connectionTimeoutMillis: 2_000, query_timeout: 2_000 },
    });
    client.on("error", () => {});
    await client.connect();
    return client;
  }

  async #ask(client: pg.Client): Promise<void> {
    const { appId } = this.#app;
    const { rows } = await client.query(
      "select allowed, reason, cost::text from rate_limiter.consume($1, 'head', 0)",
      [appId],
    );
    const { allowed, reason, cost } = rows[0];
    const at = Date.now();
    this.#receipts.count(allowed ? "allowed" : "denied");
    if (allowed) this.#receipts.answers.push({ appId, at, tokens: Number(cost), by: "database" });
    else if (/_l1$/.test(reason)) this.#receipts.breaches.push({ at, reason });
  }
}
