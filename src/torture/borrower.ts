import { setTimeout as sleep } from "node:timers/promises";
import { withConnection } from "../postgres/connect.ts";
import type { Receipts } from "./receipts.ts";
import type { TorturedApp } from "./world.ts";

/** Takes small loans that are due at once: the jobs of the workers collect each of them once. */
export class Borrower {
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
    while (!this.#stopping.signal.aborted) {
      await this.#borrow().catch(() => this.#receipts.count("no loan"));
      await sleep(400, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  async #borrow(): Promise<void> {
    const id = await withConnection(this.#url(), async (sql) => {
      const [row] = await sql`
        select borrowing_id
        from rate_limiter_internal.borrow_tokens_at(
          null, ${this.#app.appId}, 'iops_l2', 2, interval '1 second'
        )
      `;
      await sql`select graphile_worker.add_job('collect_borrowings')`;
      return row?.borrowing_id;
    });
    this.#receipts.count("loans");
    this.#receipts.loans.push({ id, at: Date.now() });
  }
}
