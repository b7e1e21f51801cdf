import { setTimeout as sleep } from "node:timers/promises";
import type { Actor } from "./actor.ts";
import { CallerConnection } from "./caller-connection.ts";
import type { Receipts } from "./receipts.ts";
import type { TorturedApp } from "./world.ts";

/** Takes small loans that are due at once: the jobs of the workers collect each of them once. */
export class Borrower implements Actor {
  readonly name = "torture borrower";
  readonly #connection: CallerConnection;
  readonly #app: TorturedApp;
  readonly #receipts: Receipts;
  readonly #stopping = new AbortController();
  #done: Promise<void> | undefined;

  constructor(url: () => string, app: TorturedApp, receipts: Receipts) {
    this.#connection = new CallerConnection({ url, name: this.name });
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
    while (!this.#stopping.signal.aborted) {
      await this.#borrow().catch(() => {
        this.#receipts.count("no loan");
        this.#connection.drop();
      });
      await sleep(400, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
    this.#connection.drop();
  }

  async #borrow(): Promise<void> {
    const row = await this.#connection.ask(
      `select borrowing_id::text
       from rate_limiter_internal.borrow_tokens_at(null, $1, 'iops_l2', 2, interval '1 second')`,
      [this.#app.appId],
    );
    await this.#connection.ask("select graphile_worker.add_job('collect_borrowings')", []);
    this.#receipts.count("loans");
    this.#receipts.loans.push({ id: String(row.borrowing_id), at: Date.now() });
  }
}
