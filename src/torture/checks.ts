import type { Sql } from "../postgres/connect.ts";
import type { Receipt, Receipts } from "./receipts.ts";
import type { TorturedApp, World } from "./world.ts";

/** What a run is judged by. Every number but the first two of a sound run is 0. */
export interface Findings {
  readonly over_admitted: number;
  readonly ledger_gaps: number;
  readonly lease_imbalance: number;
  readonly reservation_breaches: number;
  readonly lost_jobs: number;
  /** Admissions with a reference that the database has no charge of. */
  readonly uncharged: number;
  readonly left_locks: number;
  readonly left_connections: number;
  readonly surprises: readonly string[];
}

export interface Evidence {
  readonly world: World;
  readonly receipts: Receipts;
  /** When the database lost what was not on disk or not on the standby, by the machine's clock. */
  readonly losses: readonly number[];
  /** Seconds that the database's clock was set ahead, or back where negative. */
  readonly steps: readonly number[];
  readonly startedAt: number;
  readonly endedAt: number;
}

/** A crash forgets at most three times wal_writer_delay, 200 ms; a failover what was on its way. */
const lossMs = 1_500;
/** A change of quota may have doubled the rate. */
const largestChange = 2;

export async function findBreaches(sql: Sql, evidence: Evidence): Promise<Findings> {
  const { receipts } = evidence;
  return {
    over_admitted: overAdmitted(evidence) + (await overfilled(sql, evidence)),
    ledger_gaps: await ledgerGaps(sql),
    lease_imbalance: (await leaseImbalance(sql)) + (await contradictedLeases(sql, evidence)),
    reservation_breaches: receipts.breaches.length,
    lost_jobs: await lostJobs(sql),
    uncharged: await missingCharges(sql, evidence),
    left_locks: await leftLocks(sql),
    left_connections: await leftConnections(sql),
    surprises: receipts.surprises,
  };
}

/** Tokens that callers were let through with beyond capacity, inflow and stated losses. */
export function overAdmitted(evidence: Evidence): number {
  const { world, receipts } = evidence;
  const of = (apps: readonly TorturedApp[]) => {
    const ids = new Set(apps.map(({ appId }) => appId));
    return sum(receipts.answers.filter(({ appId, by }) => by !== "policy" && ids.has(appId)));
  };
  const byApp = world.apps.map((app) =>
    Math.max(of([app]) - most(evidence, app.capacity, app.rate, largestChange), 0),
  );
  const clusters =
    world.clusters.length * most(evidence, world.clusterCapacity, world.clusterRate, 1);
  return byApp.reduce((a, b) => a + b, 0) + Math.max(of(world.apps) - clusters, 0);
}

function most(evidence: Evidence, capacity: number, rate: number, change: number): number {
  const seconds = (evidence.endedAt - evidence.startedAt) / 1_000;
  const lost = evidence.losses.length * (capacity + (rate * lossMs) / 1_000);
  // What flows in while a clock is set ahead fills a bucket at most.
  const leapt = sumOf(evidence.steps.map((step) => Math.min(Math.max(step, 0) * rate, capacity)));
  return change * (capacity + rate * seconds + lost + leapt);
}

function sum(answers: readonly Receipt[]): number {
  return sumOf(answers.map(({ tokens }) => tokens));
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Buckets that gained more than their quota's rate and one filling, by their own ledger. */
async function overfilled(sql: Sql, { world, steps }: Evidence): Promise<number> {
  const rows = await sql<{ owner_id: string; refilled: number; seconds: number }[]>`
    select
      t.owner_id,
      sum(t.refilled)::float8 as refilled,
      extract(epoch from max(t.created_at) - min(t.created_at))::float8 as seconds
    from rate_limiter.token_transactions as t
    where t.bucket_type in ('iops_l1', 'iops_l2')
    group by t.owner_id, t.bucket_type
  `;
  const rates = new Map<string, number>(
    world.apps.map(({ appId, rate }) => [appId, rate * largestChange]),
  );
  for (const clusterId of world.clusters) rates.set(clusterId, world.clusterRate);
  // The same time passes again after a clock was set back.
  const repeated = sumOf(steps.map((step) => Math.max(-step, 0)));
  // The first row of a bucket has what flowed in since it was made, a bucketful at most.
  return rows
    .map(({ owner_id, refilled, seconds }) => {
      const rate = rates.get(owner_id) ?? Number.POSITIVE_INFINITY;
      return Math.max(refilled - rate * (seconds + repeated + 2), 0);
    })
    .reduce((a, b) => a + b, 0);
}

async function ledgerGaps(sql: Sql): Promise<number> {
  const [row] = await sql`select count(*)::integer as count from rate_limiter.verify_ledger()`;
  return row?.count;
}

/**
 * Leases whose grant is not what the ledger took, that gave back something else than they had left,
 * or that layer 1 counts otherwise than they stand.
 */
async function leaseImbalance(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    with entries as (
      select
        t.owner_id as app_id,
        (t.metadata ->> 'lease')::uuid as lease_id,
        -sum(t.tokens_change) filter (where t.transaction_type = 'lease') as granted,
        coalesce(sum(t.tokens_change) filter (where t.transaction_type = 'settle'), 0) as returned
      from rate_limiter.token_transactions as t
      where t.metadata ? 'lease' and t.bucket_type = 'iops_l2' and t.mode = 'enforce'
      group by t.owner_id, t.metadata ->> 'lease'
    ),
    unbalanced as (
      select l.lease_id
      from rate_limiter.token_leases as l
      left join entries as e on e.app_id = l.app_id and e.lease_id = l.lease_id
      where l.tokens > 0 and (
        e.granted is distinct from l.tokens
        -- Capacity cuts what is given back; owed amounts are charged against it.
        or e.returned > l.tokens - coalesce(l.spent_tokens, l.tokens)
        or l.spent_tokens > l.tokens
      )
      union all
      select e.lease_id
      from entries as e
      where not exists (
        select from rate_limiter.token_leases as l
        where l.app_id = e.app_id and l.lease_id = e.lease_id
      )
    ),
    miscounted as (
      select b.owner_id
      from rate_limiter.token_buckets as b
      where b.bucket_type = 'iops_l1' and b.mode = 'enforce'
        and coalesce(b.leased, 0) <> (
          select coalesce(sum(c.tokens), 0)
          from rate_limiter.token_leases as l
          cross join lateral unnest(l.charged) as c
          where l.settled_at is null and l.revoked_at is null
            and c.owner_id = b.owner_id and c.bucket_type = b.bucket_type
            and c.mode = 'enforce'
        )
    )
    select
      (select count(*) from unbalanced)::integer
      + (select count(*) from miscounted)::integer as count
  `;
  return row?.count ?? -1;
}

/** Leases that the database settled otherwise than it told the holder, but for what a crash forgot. */
async function contradictedLeases(sql: Sql, evidence: Evidence): Promise<number> {
  const rows = await sql<{ lease_id: string; spent: number | null }[]>`
    select lease_id::text, spent_tokens::float8 as spent from rate_limiter.token_leases
  `;
  const spent = new Map(rows.map((row) => [row.lease_id, row.spent]));
  return [...evidence.receipts.leases.values()].filter(
    (lease) =>
      lease.settledWith !== undefined &&
      !mayBeForgotten(lease.at, evidence, 4_000) &&
      spent.get(lease.leaseId) !== lease.settledWith,
  ).length;
}

async function missingCharges(sql: Sql, evidence: Evidence): Promise<number> {
  const rows = await sql<{ reference_id: string }[]>`
    select reference_id from rate_limiter.charges
  `;
  const known = new Set(rows.map((row) => row.reference_id));
  return evidence.receipts.answers.filter(
    ({ reference, at }) =>
      reference !== undefined && !known.has(reference) && !mayBeForgotten(at, evidence, 0),
  ).length;
}

/** Answered so shortly before a loss, and so little after it, that it may have been lost. */
export function mayBeForgotten(at: number, { losses }: Pick<Evidence, "losses">, before: number) {
  return losses.some((loss) => at > loss - lossMs - before && at < loss + lossMs);
}

/** Loans that no job collected, or that the ledger does not show as paid once and in full. */
async function lostJobs(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    with paid as (
      select t.owner_id, t.metadata ->> 'borrowing' as borrowing_id, -sum(t.tokens_change) as tokens
      from rate_limiter.token_transactions as t
      where t.transaction_type = 'repay'
      group by t.owner_id, t.metadata ->> 'borrowing'
    )
    select count(*)::integer as count
    from rate_limiter.token_borrowing as b
    left join paid as p
      on p.owner_id = b.owner_id and p.borrowing_id = b.borrowing_id::text
    where b.due_at < clock_timestamp()
      and (b.status = 'active' or b.repaid_tokens <> coalesce(p.tokens, 0))
  `;
  return row?.count ?? -1;
}

async function leftLocks(sql: Sql): Promise<number> {
  const [row] = await sql`
    select count(*)::integer as count
    from pg_locks as l
    where l.pid <> pg_backend_pid()
      and l.locktype in ('relation', 'tuple', 'transactionid', 'advisory')
      and l.database = (select oid from pg_database where datname = current_database())
      and not exists (
        select from pg_stat_activity as a
        where a.pid = l.pid and a.backend_type <> 'client backend'
      )
  `;
  return row?.count;
}

async function leftConnections(sql: Sql): Promise<number> {
  const [row] = await sql`
    select count(*)::integer as count
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
      and backend_type = 'client backend'
  `;
  return row?.count;
}
