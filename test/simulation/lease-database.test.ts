import fc from "fast-check";
import { expect, test } from "vitest";

import {
  type Grant,
  LeaseDatabase,
  type Refusal,
  type Renewal,
} from "../../src/simulation/database/lease-database.ts";
import { Application, Cluster, type Terms } from "../../src/simulation/database/owners.ts";
import { createDatabase } from "../harness/index.ts";
import {
  epoch,
  makeApplication,
  makeCluster,
  makeTenant,
  publish,
  setSetting,
  tokensAt,
} from "../sql/world.ts";

const { sql } = await createDatabase();
await setSetting(sql, "layer1_prefetch_ms", 0);

const applications = 4;
const lifetimeMs = 2_000;

interface Ask {
  readonly application: number;
  /** Millionths; of the capacity, where it is a share. */
  readonly asked: number;
  /** Of the lease that ends, in hundredths; null: none ends. */
  readonly spent: number | null;
  /** Asked for again under the id of the lease before. */
  readonly isRepeated: boolean;
}

type Step = { readonly afterMs: number; readonly holder: string } & (
  | { readonly kind: "alone"; readonly ask: Ask }
  | { readonly kind: "exchange"; readonly asks: readonly Ask[]; readonly ends: readonly Ask[] }
  | { readonly kind: "settle"; readonly ask: Ask }
  | { readonly kind: "consume"; readonly ask: Ask }
);

const ask: fc.Arbitrary<Ask> = fc.record({
  application: fc.nat(applications - 1),
  asked: fc.oneof(fc.nat(200), fc.nat(2_000)),
  spent: fc.option(fc.nat(100), { freq: 4 }),
  isRepeated: fc.boolean(),
});
const timed = { afterMs: fc.oneof(fc.nat(60), fc.nat(700)), holder: fc.constantFrom("g", "h") };
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ ...timed, kind: fc.constant("alone" as const), ask }),
  fc.record({
    ...timed,
    kind: fc.constant("exchange" as const),
    asks: fc.array(ask, { minLength: 1, maxLength: 6 }),
    ends: fc.array(ask, { maxLength: 2 }),
  }),
  fc.record({ ...timed, kind: fc.constant("settle" as const), ask }),
  fc.record({ ...timed, kind: fc.constant("consume" as const), ask }),
);
const terms: fc.Arbitrary<Terms> = fc
  .tuple(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 0, max: 300 }))
  .map(([rate, more]) => ({ rate, capacity: rate + more }));
const worlds = fc.record({
  cluster: terms.map(({ rate, capacity }) => ({ rate: rate * 2, capacity: capacity * 2 })),
  applications: fc.array(terms, { minLength: applications, maxLength: applications }),
  steps: fc.array(step, { minLength: 1, maxLength: 25 }),
});

/** As both answer it. */
type Told = { readonly problem: string } | Record<"tokens" | "retry" | "holders" | "life", string>;

function toldOf(answer: Grant | Refusal | undefined): Told {
  if (answer === undefined) return { problem: "busy" };
  if ("problem" in answer) return answer;
  const { tokens, retryAfterMs, holders, lifetimeMs } = answer;
  return {
    tokens: String(tokens),
    retry: String(retryAfterMs),
    holders: String(holders),
    life: String(lifetimeMs),
  };
}

const micros = (text: string) => String(Math.round(Number(text) * 1e6));
const decimal = (amount: bigint) =>
  `${amount / 1_000_000n}.${String(amount % 1_000_000n).padStart(6, "0")}`;

/** Both databases with the same quotas, and the leases that were granted in both. */
class Pair {
  readonly simulated = new LeaseDatabase(lifetimeMs);
  readonly #applications: readonly Application[];
  readonly #clusterId: string;
  readonly #granted: { application: number; id: string; tokens: bigint }[] = [];
  #made = 0;
  at = 0;

  private constructor(applications: readonly Application[], clusterId: string) {
    this.#applications = applications;
    this.#clusterId = clusterId;
  }

  static async make(cluster: Terms, applications: readonly Terms[]): Promise<Pair> {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, { iops: cluster.rate, burst: cluster.capacity });
    const tenants = [await makeTenant(sql), await makeTenant(sql)] as const;
    const layer1 = new Cluster(cluster, 0);
    const made: Application[] = [];
    for (const [place, { rate, capacity }] of applications.entries()) {
      const tenantId = tenants[place % 3 === 0 ? 0 : 1];
      const appId = await makeApplication(sql, { tenantId, clusterId });
      await publish(sql, { appId }, { iops: rate, burst: capacity });
      made.push(new Application(appId, tenantId, layer1, { rate, capacity }, 0));
    }
    return new Pair(made, clusterId);
  }

  renewalOf({ application, asked, spent, isRepeated }: Ask): Renewal {
    const owner = this.#applications[application] as Application;
    const own = this.#granted.filter((lease) => lease.application === application);
    const ending = spent === null ? undefined : own.at(-1);
    const repeated = isRepeated && asked % 3 === 0 ? own.at(-2)?.id : undefined;
    this.#made += 1;
    const ordinal = String(this.#made).padStart(12, "0");
    return {
      application: owner,
      asked: (owner.bucket.capacity * BigInt(asked)) / 1_000n,
      ending:
        ending === undefined
          ? null
          : {
              application: owner,
              id: ending.id,
              // Some hand in more than there was.
              spent: (ending.tokens * BigInt(spent ?? 0)) / (spent === 100 ? 99n : 100n),
            },
      nextId: repeated ?? `00000000-0000-4000-8000-${ordinal}`,
    };
  }

  note(ask: Ask, renewal: Renewal, answer: Grant | Refusal | undefined): void {
    if (answer === undefined || "problem" in answer || answer.id === null) return;
    const { application } = ask;
    this.#granted.push({ application, id: renewal.nextId, tokens: answer.tokens });
  }

  async alone(renewal: Renewal, holder: string): Promise<Told> {
    const { application, ending, asked, nextId } = renewal;
    const sqlAt = this.#moment();
    const rows = sql`
      select
        (l).tokens::text, (l).retry_after_ms::text, (l).holders::text, (l).lifetime_ms::text
      from (
        select case when ${ending?.id ?? null}::uuid is null
          then rate_limiter_internal.lease_tokens_at(
            f.shard_key, ${sqlAt}, f.app_id, ${decimal(asked)}, 0, ${`${lifetimeMs} ms`}, ${holder},
            ${nextId}
          )
          else rate_limiter_internal.renew_lease_at(
            f.shard_key, ${sqlAt}, f.app_id, ${ending?.id ?? null}::uuid,
            ${decimal(ending?.spent ?? 0n)}, 0, ${decimal(asked)}, 0, ${`${lifetimeMs} ms`},
            ${holder}, next_lease_id => ${nextId}
          )
        end as l
        from rate_limiter.app_facts as f
        where f.app_id = ${application.id}
      ) as granted
    `;
    return rows.then(
      ([row]) => toldByRow(row as Record<string, string>),
      (error: { code: string }) => ({ problem: error.code }),
    );
  }

  async exchange(renewals: readonly Renewal[], ends: readonly Renewal[], holder: string) {
    const rows = renewals.map(({ application, ending, asked, nextId }) => ({
      app_id: application.id,
      lease_id: ending?.id ?? null,
      spent_tokens: ending === null ? null : decimal(ending.spent),
      tokens: decimal(asked),
      next_lease_id: nextId,
    }));
    const endings = ends.flatMap(({ ending }) =>
      ending === null
        ? []
        : {
            app_id: ending.application.id,
            lease_id: ending.id,
            spent_tokens: decimal(ending.spent),
          },
    );
    const [answer] = await sql`
      select rate_limiter_internal.exchange_leases_at(
        array(
          select row(
            f.shard_key, r.app_id, r.lease_id, r.spent_tokens,
            case when r.lease_id is not null then 0 end, r.tokens, 0, null, r.next_lease_id
          )::rate_limiter_internal.lease_renewal
          from rows from (
            jsonb_to_recordset(${JSON.stringify(rows)}::text::jsonb) as (
              app_id uuid, lease_id uuid, spent_tokens numeric, tokens numeric, next_lease_id uuid
            )
          ) with ordinality as r
          join rate_limiter.app_facts as f on f.app_id = r.app_id
          order by r.ordinality
        ),
        array(
          select row(
            f.shard_key, s.app_id, s.lease_id, s.spent_tokens, 0, null
          )::rate_limiter_internal.lease_end
          from rows from (
            jsonb_to_recordset(${JSON.stringify(endings)}::text::jsonb) as (
              app_id uuid, lease_id uuid, spent_tokens numeric
            )
          ) with ordinality as s
          join rate_limiter.app_facts as f on f.app_id = s.app_id
          order by s.ordinality
        ),
        '{}', ${this.#moment()}, ${`${lifetimeMs} ms`}, ${holder}
      )::text as answers
    `;
    return (JSON.parse(answer?.answers) as Record<string, string>[]).map(toldByRow);
  }

  async settle({ application, ending }: Renewal): Promise<string | undefined> {
    const settling = sql`
      select rate_limiter_internal.settle_lease_at(
        f.shard_key, ${this.#moment()}, f.app_id, ${ending?.id ?? null}::uuid,
        ${decimal(ending?.spent ?? 0n)}, 0
      )
      from rate_limiter.app_facts as f
      where f.app_id = ${application.id}
    `;
    return settling.then(
      () => undefined,
      (error: { code: string }) => error.code,
    );
  }

  async consume({ id }: Application) {
    const [row] = await sql`
      select d.allowed, d.reason, d.retry_after_ms::int as "retryAfterMs"
      from rate_limiter.app_facts as f
      cross join lateral rate_limiter_internal.consume_batch_at(
        f.shard_key, ${this.#moment()}, f.app_id, '{head}', '{0}'
      ) as d
      where f.app_id = ${id}
    `;
    return row?.allowed ? undefined : { reason: row?.reason, retryAfterMs: row?.retryAfterMs };
  }

  /** Balances, and what layer 1 counts as leased. */
  balances() {
    const cluster = this.#applications[0]?.cluster as Cluster;
    const owners = [cluster, ...this.#applications];
    return {
      tokens: owners.map(({ bucket }) => Number(bucket.tokens(this.at))),
      leased: decimal(cluster.leased),
    };
  }

  async sqlBalances() {
    const at = this.#moment();
    const tokens = [Number(micros(await tokensAt(sql, at, this.#clusterId, "iops_l1")))];
    for (const { id } of this.#applications)
      tokens.push(Number(micros(await tokensAt(sql, at, id))));
    const [row] = await sql`
      select coalesce(sum(b.leased), 0)::numeric(40, 6)::text as leased
      from rate_limiter.token_buckets as b
      where b.owner_id = ${this.#clusterId} and b.bucket_type = 'iops_l1'
    `;
    const leased: string = row?.leased;
    return { tokens, leased };
  }

  application(place: number): Application {
    return this.#applications[place] as Application;
  }

  #moment(): string {
    return new Date(Date.parse(epoch) + this.at / 1_000).toISOString();
  }
}

function toldByRow(row: Record<string, string>): Told {
  if ("is_busy" in row) return { problem: "busy" };
  if ("code" in row) return { problem: row.code as string };
  const { tokens = "", retry_after_ms, holders = "", lifetime_ms = "" } = row;
  return {
    tokens: micros(tokens),
    retry: String(retry_after_ms ?? null),
    holders,
    life: lifetime_ms,
  };
}

async function compare(pair: Pair, step: Step): Promise<void> {
  pair.at += step.afterMs * 1_000;
  const { holder } = step;
  if (step.kind === "alone") {
    const renewal = pair.renewalOf(step.ask);
    const answer = pair.simulated.renew(pair.at, renewal, holder);
    expect(toldOf(answer)).toEqual(await pair.alone(renewal, holder));
    pair.note(step.ask, renewal, answer);
  } else if (step.kind === "exchange") {
    const renewals = step.asks.map((each) => pair.renewalOf(each));
    const ends = step.ends.map((each) => pair.renewalOf(each));
    const endings = ends.flatMap(({ ending }) => ending ?? []);
    const answers = pair.simulated.exchange(pair.at, renewals, endings, holder);
    expect(answers.map(toldOf)).toEqual(await pair.exchange(renewals, ends, holder));
    for (const [place, each] of step.asks.entries())
      pair.note(each, renewals[place] as Renewal, answers[place]);
  } else if (step.kind === "settle") {
    const renewal = pair.renewalOf(step.ask);
    if (renewal.ending === null) return;
    expect(pair.simulated.settle(pair.at, renewal.ending)).toBe(await pair.settle(renewal));
  } else {
    const application = pair.application(step.ask.application);
    expect(pair.simulated.consume(pair.at, application, 1_000_000n)).toEqual(
      await pair.consume(application),
    );
  }
}

test("the simulated database grants, settles and denies what the SQL does", async () => {
  await fc.assert(
    fc.asyncProperty(worlds, async ({ cluster, applications, steps }) => {
      const pair = await Pair.make(cluster, applications);
      for (const step of steps) await compare(pair, step);
      expect(pair.balances()).toEqual(await pair.sqlBalances());
    }),
    { numRuns: 25, endOnFailure: true, seed: 20301130 },
  );
}, 120_000);
