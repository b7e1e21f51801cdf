import { setTimeout as sleep } from "node:timers/promises";
import type { Actor } from "./actor.ts";
import { CallerConnection } from "./caller-connection.ts";
import type { Receipts } from "./receipts.ts";
import { Turns } from "./turns.ts";
import type { TorturedApp } from "./world.ts";

/**
 * Asks for half of what its application has reserved, evenly, past every disturbed way: whenever
 * the database answers, layer 1 must admit it.
 */
export class ReservedProber implements Actor {
  readonly name = "torture reserved";
  readonly #connection: CallerConnection;
  readonly #app: TorturedApp;
  readonly #receipts: Receipts;
  readonly #turns = new Turns(() => this.#turn());

  constructor(url: () => string, app: TorturedApp, receipts: Receipts) {
    this.#connection = new CallerConnection({ url, name: this.name });
    this.#app = app;
    this.#receipts = receipts;
  }

  start(): void {
    this.#turns.start();
  }

  async stop(): Promise<void> {
    await this.#turns.stop();
    this.#connection.drop();
  }

  async #turn(): Promise<void> {
    await sleep(2_000 / this.#app.reserved);
    try {
      await this.#ask();
    } catch {
      this.#connection.drop();
      await sleep(100);
    }
  }

  async #ask(): Promise<void> {
    const { appId } = this.#app;
    const { allowed, reason, cost } = await this.#connection.ask(
      "select allowed, reason, cost::text from rate_limiter.consume($1, 'head', 0)",
      [appId],
    );
    const at = Date.now();
    this.#receipts.count(allowed ? "allowed" : "denied");
    if (allowed) this.#receipts.answers.push({ appId, at, tokens: Number(cost), by: "database" });
    else if (/_l1$/.test(String(reason))) {
      this.#receipts.breaches.push({ at, reason: String(reason) });
    }
  }
}
