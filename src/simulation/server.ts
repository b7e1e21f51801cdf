import { millionthsOf } from "../client/costs/amount.ts";
import type { RenewalRow, SettlementRow } from "../client/store/exchange-leases.ts";
import { micro } from "./database/bucket.ts";
import type {
  Denial,
  Ending,
  Grant,
  LeaseDatabase,
  Refusal,
  Renewal,
} from "./database/lease-database.ts";
import type { Application } from "./database/owners.ts";

/** The one operation: a token. */
export const operation = "head";
const cost = micro;

/** The functions of SQL that clients call, on a simulated database. */
export class SimulatedServer {
  readonly calls = new Map<string, number>();
  /** Grants, and answers to operations that the database decided. */
  grants = 0;
  decisions = 0;
  readonly #database: LeaseDatabase;
  readonly #applications: ReadonlyMap<string, Application>;
  readonly #nowUs: () => number;

  constructor(
    database: LeaseDatabase,
    applications: ReadonlyMap<string, Application>,
    nowUs: () => number,
  ) {
    this.#database = database;
    this.#applications = applications;
    this.#nowUs = nowUs;
  }

  answer(statement: string, values: readonly unknown[]): readonly unknown[] {
    const [, name = "prove_writable"] = /from rate_limiter\.(\w+)|select rate_limiter\.(\w+)/
      .exec(statement)
      ?.filter((part) => part !== undefined) ?? [""];
    this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
    const answer = this.#functions[name];
    if (answer === undefined) throw new Error(`not simulated: ${name}`);
    return answer(values);
  }

  readonly #functions: Readonly<
    Record<string, (values: readonly unknown[]) => readonly unknown[]>
  > = {
    prove_writable: () => [{ is_read_only: false, xact: "1" }],
    operation_costs: () => [
      { operation, c_base: "1", c_bw: "0", unit_quantum: "1", is_active: true },
    ],
    application_configs: ([, ids]) =>
      listOf(ids).map((id) => ({ config: JSON.stringify(this.#configOf(id)) })),
    report_counts: () => [],
    exchange_leases: ([renewals, settlements, , , holder]) => [
      { answers: JSON.stringify(this.#exchange(renewals, settlements, String(holder))) },
    ],
    lease_tokens: ([id, tokens, , , holder, , nextId]) => [
      this.#renew(
        {
          application: this.#application(id),
          ending: null,
          asked: millionthsOf(String(tokens)),
          nextId: String(nextId),
        },
        String(holder),
      ),
    ],
    renew_lease: ([id, leaseId, spent, , tokens, , , holder, , nextId]) => {
      const application = this.#application(id);
      const ending = { application, id: String(leaseId), spent: millionthsOf(String(spent)) };
      const asked = millionthsOf(String(tokens));
      const renewal = { application, ending, asked, nextId: String(nextId) };
      return [this.#renew(renewal, String(holder))];
    },
    settle_lease: ([id, leaseId, spent]) => {
      const application = this.#application(id);
      const ending = { application, id: String(leaseId), spent: millionthsOf(String(spent)) };
      const problem = this.#database.settle(this.#nowUs(), ending);
      if (problem !== undefined) throw refused(problem);
      return [];
    },
    consume: ([id]) => [this.#consume(this.#application(id))],
    consume_batch: ([id, names]) => listOf(names).map(() => this.#consume(this.#application(id))),
  };

  #exchange(renewals: unknown, settlements: unknown, holder: string) {
    const asked = (JSON.parse(String(renewals)) as RenewalRow[]).map(
      (row): Renewal => ({
        application: this.#application(row.app_id),
        ending: this.#endingOf(row),
        asked: millionthsOf(row.tokens),
        nextId: row.next_lease_id,
      }),
    );
    const ends = (JSON.parse(String(settlements)) as SettlementRow[]).flatMap(
      (row) => this.#endingOf(row) ?? [],
    );
    const answers = this.#database.exchange(this.#nowUs(), asked, ends, holder);
    return answers.map((answer, place) => {
      const app_id = asked[place]?.application.id;
      if (answer === undefined) return { app_id, is_busy: true };
      if ("problem" in answer) return { app_id, code: answer.problem, message: "refused" };
      this.grants += 1;
      return { app_id, ...rowOf(answer), holders: String(answer.holders) };
    });
  }

  #renew(renewal: Renewal, holder: string) {
    const answer: Grant | Refusal = this.#database.renew(this.#nowUs(), renewal, holder);
    if ("problem" in answer) throw refused(answer.problem);
    this.grants += 1;
    return rowOf(answer);
  }

  #consume(application: Application) {
    this.decisions += 1;
    const at = this.#nowUs();
    const denial: Denial | undefined = this.#database.consume(at, application, cost);
    return {
      allowed: denial === undefined,
      reason: denial?.reason ?? null,
      remaining: String(application.bucket.tokens(at) / micro),
      remaining_bytes: null,
      retry_after_ms: denial === undefined ? "0" : (denial.retryAfterMs?.toString() ?? null),
      delay_ms: "0",
    };
  }

  #endingOf({ app_id, lease_id, spent_tokens }: SettlementRow): Ending | null {
    if (lease_id === undefined || spent_tokens === undefined) return null;
    const application = this.#application(app_id);
    return { application, id: lease_id, spent: millionthsOf(spent_tokens) };
  }

  #application(id: unknown): Application {
    const application = this.#applications.get(String(id));
    if (application === undefined) throw refused("QS404");
    return application;
  }

  #configOf(id: string) {
    const { bucket, cluster, tenant } = this.#application(id);
    const limitOf = (bucketType: string, { capacity, rate }: typeof bucket) => ({
      bucket_type: bucketType,
      mode: "enforce",
      method: "token_bucket",
      capacity: String(capacity / micro),
      refill_rate: String(rate),
      window_seconds: 1,
    });
    return {
      app_id: id,
      tenant_id: tenant,
      now_us: String(this.#nowUs()),
      key_valid_ms: null,
      limits: {
        cluster_id: null,
        changes_in_ms: null,
        limits: [limitOf("iops_l2", bucket), limitOf("iops_l1", cluster.bucket)],
      },
      cost_rules: [],
    };
  }
}

function rowOf({ id, tokens, lifetimeMs, retryAfterMs, holders }: Grant) {
  return {
    lease_id: id,
    tokens: `${tokens / micro}.${String(tokens % micro).padStart(6, "0")}`,
    bytes: "0",
    lifetime_ms: String(lifetimeMs),
    retry_after_ms: retryAfterMs === null ? null : String(retryAfterMs),
    holders,
    is_limited_tokens: true,
    is_limited_bytes: false,
  };
}

function refused(code: string): Error {
  return Object.assign(new Error("refused"), { code });
}

/** The values of an array literal. */
function listOf(literal: unknown): string[] {
  return String(literal)
    .slice(1, -1)
    .split(",")
    .map((value) => value.replaceAll('"', ""));
}
