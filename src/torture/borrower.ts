import type { Actor } from "./actor.ts";
import { CallerConnection } from "./caller-connection.ts";
import type { Receipts } from "./receipts.ts";
import { Turns } from "./turns.ts";
import type { TorturedApp } from "./world.ts";

/** Takes small loans that are due at once: the jobs of the workers collect each of them once. */
export class Borrower implements Actor {
  readonly name = "torture borrower";
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
    await this.#borrow().catch(() => {
      this.#receipts.count("no loan");
      this.#connection.drop();
    });
    await this.#turns.pause(400);
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
