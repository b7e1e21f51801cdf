import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import { ledgerGaps, limitedApplication, makeCluster, makeTenant, publish } from "../world.ts";

const gateways = 12;
const operators = 3;
const callsOfEach = 70;
const publishings = 25;
const quota = { iops: 40, burst: 120, bytes: 40_000 };

const database = await createDatabase();
const { sql } = database;
const clusterId = await makeCluster(sql);
await publish(sql, { clusterId }, { iops: 60, burst: 200, bytes: 60_000 });
const place = { tenantId: await makeTenant(sql), clusterId };
/** Two that gateways use, and one whose bucket people and the job work on besides. */
const apps = {
  a: await limitedApplication(sql, quota, place),
  b: await limitedApplication(sql, quota, place),
  c: await limitedApplication(sql, quota, place),
};
await sql`update rate_limiter.applications set auto_borrow = true where app_id = ${apps.c}`;

/** What two of them reserve of their cluster, changed while all the others work. */
async function reserve(connection: Sql, iops: number): Promise<void> {
  await connection.begin(async (transaction) => {
    await transaction`
      insert into rate_limiter.reservations as r
        (app_id, cluster_id, reserved_iops, reserved_bps, reservation_seconds)
      select app_id, ${clusterId}, ${iops}, 500, 2
      from unnest(${[apps.a, apps.c]}::uuid[]) as app_id
      on conflict (app_id) do update set reserved_iops = excluded.reserved_iops
    `;
    await transaction`select rate_limiter_internal.sync_reserves(${clusterId})`;
  });
}
await reserve(database.as("rate_limiter_owner"), 10);

interface Account {
  /** In millionths, as everything here: exact. */
  consumed: bigint;
  leased: bigint;
  owed: bigint;
}
const accounts = new Map<string, Account>(
  Object.values(apps).map((appId) => [appId, { consumed: 0n, leased: 0n, owed: 0n }]),
);

const millionths = (tokens: string) => BigInt(Math.round(Number(tokens) * 1e6));

/** Numbers that look random and are the same in every run. */
function dice(seed: number): (sides: number) => number {
  let state = seed * 2_654_435_761;
  return (sides) => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 374_761_393) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

/** An error with a code of ours is an answer; a deadlock or anything else is not. */
async function answered<T extends object>(query: PromiseLike<T[]>): Promise<T[]> {
  try {
    return await query;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code?.startsWith("QS")) return [];
    throw error;
  }
}

type Row = Record<string, string>;

class Gateway {
  readonly #sql: Sql;
  readonly #number: number;
  readonly #roll: (sides: number) => number;
  #references: { appId: string; reference: string; size: number }[] = [];
  #lease: { appId: string; leaseId: string; tokens: string } | undefined;

  constructor(connection: Sql, number: number) {
    this.#sql = connection;
    this.#number = number;
    this.#roll = dice(number);
  }

  async work(): Promise<void> {
    for (let call = 0; call < callsOfEach; call++) await this.#call(call);
  }

  async #call(call: number): Promise<void> {
    const appId = Object.values(apps)[this.#roll(3)] ?? "";
    const kinds = [
      () => this.#consume(appId),
      () => this.#consume(appId, `${this.#number} ${call}`),
      () => this.#batch(appId),
      () => this.#together(),
      () => this.#takeLease(appId),
      () => this.#settleLease(),
      () => this.#retry(),
      () => this.#settleOrRefund(),
      () => this.#owe(appId, `${this.#number} ${call}`),
      () => answered(this.#sql`select rate_limiter.borrow_automatically(${apps.c}, 5)`),
    ];
    await kinds[this.#roll(kinds.length)]?.();
  }

  async #consume(appId: string, reference: string | null = null) {
    const size = this.#roll(3) * 1500;
    const [decision] = await this.#sql<{ allowed: boolean; cost: string }[]>`
      select * from rate_limiter.consume(${appId}, 'read_small', ${size}, ${reference})
    `;
    if (!decision?.allowed) return;
    add(appId, "consumed", decision.cost);
    if (reference !== null) this.#references.push({ appId, reference, size });
  }

  async #batch(appId: string) {
    const decisions = await this.#sql<{ allowed: boolean; cost: string }[]>`
      select * from rate_limiter.consume_batch(
        ${appId}, array['head', 'list', 'read_small'], array[10, 0, 2000]::bigint[]
      )
    `;
    for (const { allowed, cost } of decisions) if (allowed) add(appId, "consumed", cost);
  }

  /** In one order and in the other: a session that locks in the order of the question deadlocks. */
  async #together() {
    const ids = this.#roll(2) === 0 ? Object.values(apps) : Object.values(apps).reverse();
    const decisions = await this.#sql<{ allowed: boolean | null; cost: string }[]>`
      select * from rate_limiter.consume_many(
        ${ids}, array['head', 'head', 'head'], array[10, 10, 10]::bigint[]
      )
    `;
    ids.forEach((appId, i) => {
      const decision = decisions[i];
      if (decision?.allowed) add(appId, "consumed", decision.cost);
    });
  }

  async #retry() {
    const last = this.#references.at(-1);
    if (last === undefined) return;
    const [decision] = await this.#sql`
      select * from rate_limiter.consume(
        ${last.appId}, 'read_small', ${last.size}, ${last.reference}
      )
    `;
    expect(decision?.allowed).toBe(true);
  }

  async #settleOrRefund() {
    const first = this.#references.shift();
    if (first === undefined) return;
    const { appId, reference } = first;
    if (this.#roll(2) === 0) {
      await this.#sql`select rate_limiter.refund(${appId}, ${reference})`;
    } else {
      await this.#sql`select rate_limiter.settle(${appId}, ${reference}, ${this.#roll(4000)})`;
    }
  }

  async #owe(appId: string, key: string) {
    const tokens = 1 + this.#roll(3);
    for (const isFirst of [true, false]) {
      const [row] = await this.#sql`
        select rate_limiter.charge_owed(${appId}, ${tokens}, ${tokens * 100}, ${key}) as charged
      `;
      expect(row?.charged).toBe(isFirst);
    }
    add(appId, "owed", String(tokens));
  }

  async #takeLease(appId: string) {
    const [grant] = await this.#sql<Row[]>`
      select * from rate_limiter.lease_tokens(${appId}, ${1 + this.#roll(9)}, 100)
    `;
    this.#remember(appId, grant);
  }

  async #settleLease() {
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease === undefined) return;
    // A lease that held no tokens has no bucket to charge what is owed to.
    const owed = Number(lease.tokens) > 0 ? this.#roll(3) : 0;
    if (this.#roll(2) === 0) {
      await this.#sql`
        select rate_limiter.settle_lease(
          ${lease.appId}, ${lease.leaseId}, ${lease.tokens}, 0, owed_tokens => ${owed}
        )
      `;
      add(lease.appId, "owed", String(owed));
      return;
    }
    const [grant] = await this.#sql<Row[]>`
      select * from rate_limiter.renew_lease(
        ${lease.appId}, ${lease.leaseId}, ${owed > 0 ? lease.tokens : 0}, 0, 3, 50,
        owed_tokens => ${owed}
      )
    `;
    add(lease.appId, "owed", String(owed));
    this.#remember(lease.appId, grant);
  }

  #remember(appId: string, grant: Row | undefined) {
    if (!grant?.lease_id) return;
    add(appId, "leased", grant.tokens ?? "0");
    this.#lease = { appId, leaseId: grant.lease_id, tokens: grant.tokens ?? "0" };
  }
}

function add(appId: string, what: keyof Account, tokens: string): void {
  const account = accounts.get(appId);
  if (account !== undefined) account[what] += millionths(tokens);
}

/** Borrows for one application from wherever it can, repays, collects and adjusts. */
async function operate(connection: Sql, number: number): Promise<void> {
  const roll = dice(100 + number);
  const borrowings: string[] = [];
  const lenders = [null, apps.a, apps.b, clusterId];
  const kinds = [
    async () => {
      const [borrowing] = await answered(
        connection<Row[]>`
          select borrowing_id from rate_limiter_internal.borrow_tokens_at(
            clock_timestamp(), ${apps.c}, 'iops_l2', ${1 + roll(9)}, '1 s',
            ${lenders[roll(4)] ?? null}
          )
        `,
      );
      borrowings.push(...(borrowing?.borrowing_id ? [borrowing.borrowing_id] : []));
    },
    () =>
      answered(
        connection`
          select rate_limiter_internal.repay_borrowing_at(
            clock_timestamp(), ${apps.c}, ${borrowings[roll(borrowings.length)] ?? null}
          )
        `,
      ),
    () => connection`select rate_limiter_private.collect_borrowings(clock_timestamp(), 5)`,
    () =>
      answered(
        connection`
          select rate_limiter_internal.adjust_tokens_at(
            clock_timestamp(), ${apps.c}, 'iops_l2', ${roll(9) - 4}, 'test'
          )
        `,
      ),
  ];
  for (let call = 0; call < callsOfEach; call++) await kinds[roll(kinds.length)]?.();
}

/** Publishes quotas of the third application and of the cluster, none above the first one. */
async function govern(connection: Sql): Promise<void> {
  for (let turn = 0; turn < publishings; turn++) {
    const [now] = await connection`select clock_timestamp() as now`;
    const smaller = turn % 4 < 2;
    await reserve(connection, 5 + (turn % 3));
    if (turn % 2 === 0) {
      const next = smaller ? { iops: 20, burst: 60, bytes: 20_000 } : quota;
      await publish(connection, { appId: apps.c }, next, now?.now);
    } else {
      const next = smaller ? { iops: 30, burst: 100, bytes: 60_000 } : { iops: 60, burst: 200 };
      await publish(connection, { clusterId }, next, now?.now);
    }
  }
}

async function clock(): Promise<number> {
  const [row] = await sql`select extract(epoch from clock_timestamp()) as seconds`;
  return Number(row?.seconds);
}

async function ledgerOf(ownerId: string) {
  const [row] = await sql<Row[]>`
    select
      coalesce(-sum(tokens_change) filter (
        where transaction_type = 'consume' or metadata ? 'cause' and transaction_type = 'refund'
      ), 0) as consumed,
      coalesce(-sum(tokens_change) filter (where transaction_type = 'lease'), 0) as leased,
      coalesce(-sum(tokens_change) filter (
        where transaction_type = 'owed'
          or transaction_type = 'settle' and metadata ? 'lease' and tokens_change < 0
      ), 0) as owed,
      -- What went out for others to use, less what came back.
      coalesce(-sum(tokens_change) filter (where transaction_type <> 'adjust'), 0) as used,
      coalesce(sum(tokens_change) filter (
        where transaction_type = 'adjust' and metadata ? 'reason'
      ), 0) as adjusted,
      (
        select greatest(-b.current_tokens, 0)
        from rate_limiter.token_buckets as b
        where b.owner_id = ${ownerId} and b.bucket_type in ('iops_l2', 'iops_l1')
      ) as debt
    from rate_limiter.token_transactions
    where owner_id = ${ownerId} and bucket_type in ('iops_l2', 'iops_l1')
  `;
  return { ...row } as Row;
}

describe("sixteen connections at few buckets, all at once", () => {
  test("neither deadlock, nor lose a token, nor admit more than there is", async () => {
    const begun = await clock();
    await Promise.all([
      ...Array.from({ length: gateways }, async (_, number) => {
        const session = await database.session(`gateway ${number}`, "rate_limiter_app");
        await new Gateway(session.sql, number + 1).work();
      }),
      ...Array.from({ length: operators }, async (_, number) => {
        const session = await database.session(`operator ${number}`, "rate_limiter_owner");
        await operate(session.sql, number);
      }),
      database.session("governor", "rate_limiter_owner").then((session) => govern(session.sql)),
    ]);
    const elapsed = (await clock()) - begun;

    expect(await ledgerGaps(sql)).toEqual([]);

    // Conservation: what was answered to callers is what the ledger says, to the last digit.
    for (const appId of [apps.a, apps.b]) {
      const ledger = await ledgerOf(appId);
      const account = accounts.get(appId);
      expect(millionths(ledger.consumed ?? "")).toBe(account?.consumed);
      expect(millionths(ledger.leased ?? "")).toBe(account?.leased);
      expect(millionths(ledger.owed ?? "")).toBe(account?.owed);
      expect(account?.consumed).toBeGreaterThan(0n);
    }

    // A reserve holds no less than nothing and no more than its capacity.
    const odd = await sql`
      select * from rate_limiter.token_buckets
      where reserve_cluster_id is not null
        and current_tokens not between 0 and coalesce(capacity, last_capacity)
    `;
    expect([...odd]).toEqual([]);
    const [paid] = await sql`
      select count(*)::integer as times from rate_limiter.token_transactions
      where bucket_type in ('iops_reserve', 'bandwidth_reserve') and tokens_change < 0
    `;
    expect(paid?.times).toBeGreaterThan(0);

    // No more than was there at the start and flowed in since, whatever quota was in force, and what
    // a bucket is in debt.
    for (const [ownerId, capacity, rate] of [
      [apps.a, 120, 40],
      [apps.b, 120, 40],
      [apps.c, 120, 40],
      [clusterId, 200, 60],
    ] as const) {
      const { used, adjusted, debt } = await ledgerOf(ownerId);
      expect(Number(used)).toBeLessThanOrEqual(
        capacity + rate * elapsed + Number(adjusted) + Number(debt),
      );
    }
  });

  test("leave every bucket with what all its rows add up to", async () => {
    const odd = await sql`
      select b.owner_id, b.bucket_type, b.current_tokens, sum(t.refilled + t.tokens_change)
      from rate_limiter.token_buckets as b
      join rate_limiter.token_transactions as t using (shard_key, owner_id, bucket_type, mode)
      group by b.shard_key, b.owner_id, b.bucket_type, b.mode, b.generation
      having b.current_tokens <> sum(t.refilled + t.tokens_change)
        or b.current_tokens < -(rate_limiter_internal.debt_limit(b))
        or b.current_tokens > 1.5 * max(b.capacity)
    `;
    expect([...odd]).toEqual([]);
  });
});
