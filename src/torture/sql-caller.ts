import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Random } from "./random.ts";
import type { Receipts } from "./receipts.ts";
import type { TorturedApp } from "./world.ts";

const timeoutMs = 2_000;

/** Codes that a caller may get: of this product, and those that say that no answer is to be had. */
const expected = /^(QS\d{3}|08...|57P0[1-3]|57014|55P03|40001|40P01|53300|25006|E[A-Z]+|NONE)$/;

export interface CallerPlan {
  readonly url: string;
  readonly apps: readonly TorturedApp[];
  readonly random: Random;
  readonly receipts: Receipts;
  /** Between calls; 0 asks without pause. */
  readonly pauseMs: number;
  readonly name: string;
}

/** Calls the functions of the data plane one after another, over a connection that may go. */
export class SqlCaller {
  readonly #plan: CallerPlan;
  readonly #stopping = new AbortController();
  readonly #references: { readonly app: TorturedApp; readonly reference: string }[] = [];
  #client: pg.Client | undefined;
  #calls = 0;
  #done: Promise<void> | undefined;

  constructor(plan: CallerPlan) {
    this.#plan = plan;
  }

  start(): void {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#done;
    await this.#drop();
  }

  async #run(): Promise<void> {
    const { random, apps, receipts, pauseMs } = this.#plan;
    while (!this.#stopping.signal.aborted) {
      const app = random.pick(apps);
      try {
        await this.#callOnce(app, random.next());
      } catch (error) {
        await this.#failed(error, receipts);
      }
      if (pauseMs > 0)
        await sleep(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
    }
  }

  #callOnce(app: TorturedApp, dice: number): Promise<void> {
    if (dice < 0.45) return this.#consume(app, undefined);
    if (dice < 0.75) return this.#consume(app, `${this.#plan.name} ${++this.#calls}`);
    if (dice < 0.8) return this.#refund();
    if (dice < 0.85) return this.#settle();
    return this.#useLease(app, dice);
  }

  async #consume(app: TorturedApp, reference: string | undefined): Promise<void> {
    const row = await this.#query(
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
    const row = await this.#query("select rate_limiter.refund($1, $2) as done", [
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
    await this.#query("select settled from rate_limiter.settle($1, $2, 0)", [
      known.app.appId,
      known.reference,
    ]);
    this.#plan.receipts.count("settlements");
  }

  /** Takes a lease, spends a part and gives it back; of three, one is left to expire. */
  async #useLease({ appId }: TorturedApp, dice: number): Promise<void> {
    const { receipts, random } = this.#plan;
    const grant = await this.#query(
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
    await this.#query("select rate_limiter.settle_lease($1, $2, $3, 0)", [appId, leaseId, spent]);
    receipts.count("settled leases");
    receipts.leases.set(leaseId, { ...receipt, settledWith: spent });
  }

  async #query(text: string, values: unknown[]): Promise<Record<string, unknown>> {
    const client = await this.#connect();
    const { rows } = await inTime(client.query(text, values));
    return rows[0] ?? {};
  }

  async #connect(): Promise<pg.Client> {
    if (this.#client !== undefined) return this.#client;
    const client = new pg.Client({
      connectionString: this.#plan.url,
      application_name: "torture caller",
      connectionTimeoutMillis: timeoutMs,
      statement_timeout: timeoutMs * 0.8,
    });
    client.on("error", () => {});
    this.#client = client;
    await inTime(client.connect());
    return client;
  }

  async #failed(error: unknown, receipts: Receipts): Promise<void> {
    const { code = "NONE", message } = error as { code?: string; message: string };
    receipts.count(code);
    if (!expected.test(code)) receipts.surprise(`${code} ${message}`);
    if (!/^(QS|55P03|57014|40)/.test(code)) {
      await this.#drop();
      await sleep(50);
    }
  }

  async #drop(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    const { stream } = (client as unknown as Streaming | undefined)?.connection ?? {};
    stream?.destroy();
  }
}

interface Streaming {
  readonly connection?: { readonly stream?: { destroy(): void } };
}

/** An answer that does not come in time leaves the connection in doubt. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  work.catch(() => {});
  const timer = new AbortController();
  const late = sleep(timeoutMs, undefined, { signal: timer.signal }).then(() => {
    throw Object.assign(new Error("no answer in time"), { code: "NONE" });
  });
  late.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } finally {
    timer.abort();
  }
}
