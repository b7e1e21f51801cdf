import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../random.ts";
import type { Actor } from "./actor.ts";
import { CallerConnection, type CallerConnectionPlan } from "./caller-connection.ts";
import type { Receipts } from "./receipts.ts";
import { Turns } from "./turns.ts";
import type { TorturedApp } from "./world.ts";

/** Codes that a caller may get: of this product, and those that say that no answer is to be had. */
const expected = /^(QS\d{3}|08...|57P0[1-3]|57014|55P03|40001|40P01|53[13]00|25006|E[A-Z]+|NONE)$/;

export interface CallerPlan extends CallerConnectionPlan {
  readonly apps: readonly TorturedApp[];
  readonly random: Random;
  readonly receipts: Receipts;
  /** Between calls; 0 asks without pause. */
  readonly pauseMs: number;
}

/** Calls the functions of the data plane one after another, over a connection that may go. */
export class SqlCaller implements Actor {
  readonly name: string;
  readonly #plan: CallerPlan;
  readonly #turns = new Turns(() => this.#turn());
  readonly #references: { readonly app: TorturedApp; readonly reference: string }[] = [];
  readonly #connection: CallerConnection;
  #calls = 0;

  constructor(plan: CallerPlan) {
    this.name = plan.name;
    this.#plan = plan;
    this.#connection = new CallerConnection(plan);
  }

  start(): void {
    this.#turns.start();
  }

  async stop(): Promise<void> {
    await this.#turns.stop();
    this.#connection.drop();
  }

  async #turn(): Promise<void> {
    const { random, apps, receipts, pauseMs } = this.#plan;
    const app = random.pick(apps);
    try {
      await this.#callOnce(app, random.next());
    } catch (error) {
      await this.#failed(error, receipts);
    }
    if (pauseMs > 0) await this.#turns.pause(pauseMs);
  }

  #callOnce(app: TorturedApp, dice: number): Promise<void> {
    if (dice < 0.45) return this.#consume(app, undefined);
    if (dice < 0.75) return this.#consume(app, `${this.#plan.name} ${++this.#calls}`);
    if (dice < 0.8) return this.#refund();
    if (dice < 0.85) return this.#settle();
    return this.#useLease(app, dice);
  }

  async #consume(app: TorturedApp, reference: string | undefined): Promise<void> {
    const row = await this.#connection.ask(
      "select allowed, cost::text from rate_limiter.consume($1, 'head', 0, $2)",
      [app.appId, reference ?? null],
    );
    const { receipts } = this.#plan;
    receipts.count(row.allowed === true ? "allowed" : "denied");
    if (row.allowed !== true) return;
    const tokens = Number(row.cost);
    const named = reference === undefined ? {} : { reference };
    receipts.answers.push({ appId: app.appId, at: Date.now(), tokens, by: "database", ...named });
    if (reference !== undefined) this.#references.push({ app, reference });
  }

  async #refund(): Promise<void> {
    const known = this.#references.pop();
    if (known === undefined) return;
    const { appId } = known.app;
    const row = await this.#connection.ask("select rate_limiter.refund($1, $2) as done", [
      appId,
      known.reference,
    ]);
    this.#plan.receipts.count("refunds");
    if (row.done === true) {
      this.#plan.receipts.answers.push({ appId, at: Date.now(), tokens: -1, by: "database" });
    }
  }

  async #settle(): Promise<void> {
    const known = this.#references.pop();
    if (known === undefined) return;
    await this.#connection.ask("select settled from rate_limiter.settle($1, $2, 0)", [
      known.app.appId,
      known.reference,
    ]);
    this.#plan.receipts.count("settlements");
  }

  /** Takes a lease, spends a part and gives it back; of three, one is left to expire. */
  async #useLease({ appId }: TorturedApp, dice: number): Promise<void> {
    const { receipts, random } = this.#plan;
    const grant = await this.#connection.ask(
      `select lease_id::text, tokens::text
       from rate_limiter.lease_tokens($1, 20, 0, interval '2 seconds')`,
      [appId],
    );
    receipts.count("leases");
    const granted = Number(grant.tokens ?? 0);
    if (typeof grant.lease_id !== "string" || granted === 0) return;
    const leaseId = grant.lease_id;
    const receipt = { appId, leaseId, at: Date.now(), granted };
    receipts.leases.set(leaseId, receipt);
    const spent = random.between(0, Math.floor(granted));
    receipts.answers.push({ appId, at: Date.now(), tokens: spent, by: "lease" });
    if (dice > 0.95) return;
    await this.#connection.ask("select rate_limiter.settle_lease($1, $2, $3, 0)", [
      appId,
      leaseId,
      spent,
    ]);
    receipts.count("settled leases");
    receipts.leases.set(leaseId, { ...receipt, settledWith: spent });
  }

  async #failed(error: unknown, receipts: Receipts): Promise<void> {
    const { code = "NONE", message } = error as { code?: string; message: string };
    receipts.count(code);
    if (!expected.test(code)) receipts.surprise(`${code} ${message}`);
    if (!/^(QS|55P03|57014|40)/.test(code)) {
      this.#connection.drop();
      await sleep(50);
    }
  }
}
