import { beforeEach, describe, expect, test } from "vitest";
import { drainDefaultPartitions } from "../../../src/archive/drain-default-partitions.ts";
import {
  createDatabase,
  expectSqlState,
  type Session,
  type TestDatabase,
} from "../../harness/index.ts";
import { untilOver } from "../../harness/until-over.ts";
import { makeApplication } from "../denials/world.ts";
import { ledgerGaps, limitedApplication, makeCluster, publish } from "../world.ts";

/** Which modes of table locks a mode conflicts with, of those that decisions take. */
const conflicts: Readonly<Record<string, readonly string[]>> = {
  AccessShareLock: ["AccessExclusiveLock"],
  RowShareLock: ["ExclusiveLock", "AccessExclusiveLock"],
  RowExclusiveLock: ["ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"],
};

interface Lock {
  readonly relation: string;
  readonly mode: string;
}

/** The locks that a session's transaction holds on tables that others see. */
async function locksOf(session: Session, { sql }: TestDatabase): Promise<readonly Lock[]> {
  const [backend] = await session.sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  return sql<Lock[]>`
    select c.oid::regclass::text as relation, l.mode
    from pg_locks as l
    join pg_class as c on c.oid = l.relation
    where l.pid = ${backend?.pid ?? 0} and l.locktype = 'relation' and l.granted
      and l.database = (select oid from pg_database where datname = current_database())
  `;
}

/** Rows that a session has written: counts go on until the server takes them over. */
async function writtenRows(session: Session): Promise<number> {
  const [row] = await session.sql<{ rows: number }[]>`
    select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::integer as rows
    from pg_stat_xact_user_tables
    where schemaname like 'rate\\_limiter%'
  `;
  return row?.rows ?? -1;
}

const today = new Date().toISOString().slice(0, 10);

/** Has decisions write to the default partition, as when no worker ran for long. */
async function dropToday({ sql }: TestDatabase): Promise<void> {
  const [row] = await sql<{ name: string }[]>`
    select p.partition_name as name from rate_limiter_internal.partitions() as p
    where p.table_name = 'token_transactions' and p.starts_at = ${`${today}T00:00:00Z`}
  `;
  await sql`drop table rate_limiter_partitions.${sql(row?.name ?? "")}`;
}

/** Rows of three long past days, of one application or of many. */
async function oldLedger({ sql }: TestDatabase, rowsADay: number): Promise<void> {
  await sql`
    insert into rate_limiter.token_transactions
      (shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
       refilled, balance_after)
    select
      1, md5((day * 100000 + n)::text)::uuid, timestamptz '2024-02-10Z' + day * interval '1 day', 1,
      'iops_l2', 'enforce', 'consume', 1, 0, 1
    from generate_series(0, 2) as day
    cross join generate_series(1, ${rowsADay}::integer) as n
  `;
}

async function decide(session: Session, appId: string): Promise<boolean> {
  const [row] = await session.sql`select allowed from rate_limiter.consume(${appId}, 'head', 1)`;
  return row?.allowed;
}

interface World {
  readonly database: TestDatabase;
  readonly appId: string;
  readonly worker: Session;
  /** What decisions of every kind lock. */
  readonly decisionLocks: readonly Lock[];
}

async function makeWorld(): Promise<World> {
  const database = await createDatabase();
  const { sql } = database;
  const clusterId = await makeCluster(sql);
  const quota = { iops: 100_000, bytes: 1_000_000 };
  await publish(sql, { clusterId }, quota);
  const appId = await limitedApplication(sql, quota, { clusterId });
  const gateway = await database.session("gateway", "rate_limiter_app");
  await gateway.sql`begin`;
  await decide(gateway, appId);
  await gateway.sql`select rate_limiter.consume(${appId}, 'head', 1, 'reference')`;
  await gateway.sql`select rate_limiter.settle(${appId}, 'reference', 2)`;
  await gateway.sql`select rate_limiter.refund(${appId}, 'reference')`;
  await gateway.sql`select rate_limiter.consume(${appId}, 'read_large', 900000000000)`;
  await gateway.sql`select rate_limiter.lease_tokens(${appId}, 5, 5)`;
  await gateway.sql`select rate_limiter.consume_batch(${appId}, '{head}', '{0}')`;
  await gateway.sql`select rate_limiter.consume_many(array[${appId}::uuid], '{head}', '{0}')`;
  const decisionLocks = await locksOf(gateway, database);
  await gateway.sql`commit`;
  const worker = await database.session("worker", "rate_limiter_worker");
  return { database, appId, worker, decisionLocks };
}

/** Locks of the worker's open transaction that a decision would wait for. */
async function inTheWay({ database, worker, decisionLocks }: World): Promise<string[]> {
  const held = await locksOf(worker, database);
  const partitionsOf = (lock: Lock) =>
    // What is written to the ledger may go to any of its partitions.
    lock.relation === "rate_limiter.token_transactions" ? "token_transactions_" : undefined;
  return held
    .filter(({ relation, mode }) =>
      decisionLocks.some(
        (lock) =>
          conflicts[lock.mode]?.includes(mode) &&
          (lock.relation === relation ||
            relation.startsWith(`rate_limiter_partitions.${partitionsOf(lock)}`)),
      ),
    )
    .map(({ relation, mode }) => `${mode} ${relation}`);
}

describe("no decision waits for maintenance", () => {
  test("that drains a default partition, but while the catalog changes", async () => {
    const world = await makeWorld();
    const { database, appId, worker } = world;
    await dropToday(database);
    await oldLedger(database, 2500);
    const gateway = await database.session("deciding", "rate_limiter_app");
    expect(await decide(gateway, appId)).toBe(true);

    const seen: Record<string, { steps: number; mostRows: number; locks: Set<string> }> = {};
    for (;;) {
      await worker.sql`begin`;
      const before = await writtenRows(worker);
      const [step] = await worker.sql`
        select * from rate_limiter_private.drain_default_partitions(now(), 1500)
      `;
      if (step === undefined) {
        await worker.sql`rollback`;
        break;
      }
      const locks = await inTheWay(world);
      // Not where the locks are held: that is for a moment only in a transaction of its own.
      if (locks.length === 0) expect(await decide(gateway, appId)).toBe(true);
      const of = seen[step.step] ?? { steps: 0, mostRows: 0, locks: new Set() };
      seen[step.step] = {
        steps: of.steps + 1,
        mostRows: Math.max(of.mostRows, (await writtenRows(worker)) - before),
        locks: new Set([...of.locks, ...locks]),
      };
      await worker.sql`commit`;
      expect(await decide(gateway, appId)).toBe(true);
    }

    const defaultPartition = "rate_limiter_partitions.token_transactions_default";
    expect(seen.begin?.mostRows).toBeLessThan(10);
    expect([...(seen.begin?.locks ?? [])]).toEqual([`ShareRowExclusiveLock ${defaultPartition}`]);
    // 7500 rows, at most 1500 a step.
    expect(seen.copy?.steps).toBeGreaterThanOrEqual(5);
    expect(seen.copy?.mostRows).toBeLessThanOrEqual(1500);
    expect([...(seen.copy?.locks ?? [])]).toEqual([]);
    expect(seen.finish?.steps).toBe(1);
    expect(seen.finish?.mostRows).toBeLessThan(10);
    expect(await ledgerGaps(database.sql)).toEqual([]);
    const [left] = await database.sql`
      select
        (select count(*)::integer from rate_limiter_partitions.token_transactions_default) as left,
        (select count(*)::integer from rate_limiter.token_transactions
          where created_at < '2024-03-01') as old
    `;
    expect(left).toEqual({ left: 0, old: 7500 });
  });

  test("that drains a default partition while decisions write to it, and no row is lost", async () => {
    const { database, appId } = await makeWorld();
    await dropToday(database);
    await oldLedger(database, 500);
    await database.sql`
      insert into rate_limiter.token_transactions
        (shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
         refilled, balance_after)
      values (1, ${crypto.randomUUID()}, '2999-01-01Z', 1, 'iops_l2', 'enforce', 'consume', 1, 0, 1)
    `;
    const draining = untilOver();
    let decided = 0;
    const deciding = [1, 2, 3].map(async (number) => {
      const gateway = await database.session(`gateway ${number}`, "rate_limiter_app");
      while (!draining.isOver) {
        if (await decide(gateway, appId)) decided++;
      }
    });
    const owner = database.as("rate_limiter_owner");
    try {
      await drainDefaultPartitions(owner);
    } finally {
      draining.end();
    }
    await Promise.all(deciding);

    expect(decided).toBeGreaterThan(10);
    expect(await ledgerGaps(database.sql)).toEqual([]);
    const [row] = await database.sql`
      select
        count(*) filter (where created_at < '2024-03-01')::integer as old,
        count(*) filter (where created_at > '2900-01-01')::integer as odd,
        count(*) filter (where owner_id = ${appId} and bucket_type = 'iops_l2'
          and transaction_type = 'consume' and reference_id is null)::integer as decisions
      from rate_limiter.token_transactions
    `;
    expect(row).toEqual({ old: 1500, odd: 1, decisions: decided });
    const homes = await database.sql<{ home: string }[]>`
      select distinct tableoid::regclass::text as home from rate_limiter.token_transactions
      where owner_id = ${appId}
    `;
    const partition = `token_transactions_y${today.replace("-", "m").replace("-", "d")}`;
    expect(homes.map(({ home }) => home)).toContain(`rate_limiter_partitions.${partition}`);
  });

  test("that makes a partition, but while that is attached", async () => {
    const world = await makeWorld();
    const { database, worker } = world;
    await dropToday(database);
    await worker.sql`begin`;
    const before = await writtenRows(worker);
    const made = await worker.sql`
      select rate_limiter_private.make_partitions(now() + interval '1 day', 1)
    `;
    expect(made.length).toBe(1);
    expect(await writtenRows(worker)).toBe(before);
    await worker.sql`rollback`;
    await worker.sql`begin`;
    await worker.sql`select rate_limiter_private.make_partitions(now(), 1)`;
    expect(await inTheWay(world)).toContain(
      "ShareRowExclusiveLock rate_limiter.token_transactions",
    );
    expect(await writtenRows(worker)).toBe(before);
    await worker.sql`rollback`;
  });

  test("that drops a partition, and none of applications or buckets at all", async () => {
    const world = await makeWorld();
    const { database, worker } = world;
    await database.sql`select rate_limiter_private.make_partitions('2020-02-10')`;
    const expired = await database.sql<{ name: string; table: string }[]>`
      select distinct on (e.table_name)
        e.partition_name as name, e.schema_name || '.' || e.table_name as table
      from rate_limiter_private.expired_partitions() as e
    `;
    expect(expired.length).toBe(8);
    for (const { name, table } of expired) {
      await worker.sql`begin`;
      const before = await writtenRows(worker);
      await worker.sql`select rate_limiter_private.drop_partition(${name})`;
      const locks = await inTheWay(world);
      expect(locks.filter((lock) => !lock.includes(table.replace(/^.*\./, "")))).toEqual([]);
      expect(await writtenRows(worker)).toBe(before);
      await worker.sql`commit`;
    }
  });

  test("that meets a long report: it gives up at once, and holds nothing", async () => {
    const world = await makeWorld();
    const { database, appId, worker } = world;
    await database.sql`select rate_limiter_private.make_partitions('2020-02-10')`;
    await oldLedger(database, 10);
    const report = await database.session("report");
    await report.sql`begin`;
    await report.sql`select count(*) from rate_limiter.token_transactions`;
    const drop = () => worker.sql`
      select rate_limiter_private.drop_partition('token_transactions_y2020m02d09')
    `;
    await expectSqlState(drop(), "55P03");
    // Begun, and copied; what is left waits for the report's end.
    const drain = () => worker.sql`select rate_limiter_private.drain_default_partitions()`;
    await drain();
    await drain();
    await expectSqlState(drain(), "55P03");
    const gateway = await database.session("deciding", "rate_limiter_app");
    expect(await decide(gateway, appId)).toBe(true);
    await report.sql`commit`;
    await drop();
    await drain();
    expect(await drain()).toHaveLength(0);
  });

  test("that reads: reports, aggregates, exports, checks and what expires row by row", async () => {
    const world = await makeWorld();
    const { database, appId, worker } = world;
    await database.sql`select rate_limiter_private.make_partitions('2020-02-10')`;
    await database.sql`
      insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
      values (1, ${appId}, now(), 'depth', 1), (1, ${appId}, '2020-02-09 10:00Z', 'depth', 1)
    `;
    await worker.sql`
      select rate_limiter_private.mark_for_aggregation('2020-01-01Z', now() + interval '1 hour')
    `;
    const types = await database.sql<{ name: string }[]>`
      select data_type as name from rate_limiter_internal.expiring_rows()
    `;
    const calls = [
      "aggregate_metrics('hour')",
      "aggregate_metrics('day')",
      "record_system_metrics(now())",
      "evaluate_alerts()",
      "expire_leases(now())",
      "expire_sessions(now())",
      "dead_letter_stale_notifications()",
      "refresh_daily_quota_usage()",
      "rescue_stuck_jobs()",
      "verify_ledger()",
      "metrics_snapshot()",
      "apply_retention()",
      "retention_plan()",
      "export_partition('metrics_y2020m02d09')",
      "partition_extent('metrics_y2020m02d09')",
      ...types.map(({ name }) => `expire_rows('${name}', now() - interval '10 years')`),
      ...types.map(({ name }) => `export_rows('${name}', now() - interval '10 years')`),
    ];
    for (const call of calls) {
      await worker.sql`begin`;
      await worker.sql.unsafe(`select rate_limiter_private.${call}`);
      expect(await inTheWay(world), call).toEqual([]);
      await worker.sql`commit`;
    }
  });
});

describe("a drain", () => {
  let database: TestDatabase;
  let appId = "";
  beforeEach(async () => {
    database = await createDatabase();
    appId = await makeApplication(database);
  });

  const step = async () => {
    const [row] = await database.as("rate_limiter_worker")<{ step: string }[]>`
      select step from rate_limiter_private.drain_default_partitions()
    `;
    return row?.step;
  };
  const sampleAt = (at: string, value: number) => database.sql`
    insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_id, metric_name, value)
    values (1, ${appId}, ${at}, md5(${at})::uuid, 'depth', ${value})
  `;
  const samples = async () => {
    const rows = await database.sql<{ value: number; home: string }[]>`
      select m.value, replace(tableoid::regclass::text, 'rate_limiter_partitions.', '') as home
      from rate_limiter.metrics as m where m.app_id = ${appId} order by m.value
    `;
    return rows.map(({ value, home }) => `${value} ${home}`);
  };

  test("takes along what is inserted, changed and deleted while it runs", async () => {
    for (const [day, value] of [
      [10, 1],
      [11, 2],
      [12, 3],
    ] as const) {
      await sampleAt(`2024-02-${day}T10:00:00Z`, value);
    }
    expect(await step()).toBe("begin");
    await database.sql`update rate_limiter.metrics set value = 11 where value = 1`;
    expect(await step()).toBe("copy");
    await sampleAt("2024-02-10T11:00:00Z", 4);
    await sampleAt("2999-02-10T11:00:00Z", 5);
    await database.sql`update rate_limiter.metrics set value = 12 where value = 2`;
    await database.sql`delete from rate_limiter.metrics where value = 3`;
    const seen = await samples();
    expect(await step()).toBe("finish");
    expect((await samples()).map((line) => line.split(" ")[0])).toEqual(
      seen.map((line) => line.split(" ")[0]),
    );
    expect(await samples()).toEqual([
      "4 metrics_y2024m02d10",
      "5 metrics_default",
      "11 metrics_y2024m02d10",
      "12 metrics_y2024m02d11",
    ]);
    expect(await step()).toBeUndefined();
  });

  test("begins anew where too much came in that belongs elsewhere", async () => {
    await sampleAt("2024-02-10T10:00:00Z", 1);
    expect(await step()).toBe("begin");
    await database.sql`
      insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
      select 1, ${appId}, '2024-02-12Z', 'depth', 2 from generate_series(1, 2001)
    `;
    expect(await step()).toBe("copy");
    expect(await step()).toBe("finish");
    expect(new Set(await samples())).toEqual(new Set(["1 metrics_default", "2 metrics_default"]));
    await drainDefaultPartitions(database.as("rate_limiter_owner"));
    expect(new Set(await samples())).toEqual(
      new Set(["1 metrics_y2024m02d10", "2 metrics_y2024m02d12"]),
    );
  });

  test("of more days than it makes partitions for lets days in a row share one", async () => {
    await database.sql`
      insert into rate_limiter.metrics (shard_key, app_id, "timestamp", metric_name, value)
      select 1, ${appId}, timestamptz '2023-01-01Z' + n * interval '1 day', 'depth', n
      from generate_series(0, 69) as n
    `;
    await drainDefaultPartitions(database.as("rate_limiter_owner"));
    const homes = (await samples()).map((line) => line.split(" ")[1]);
    expect(homes).not.toContain("metrics_default");
    expect(new Set(homes).size).toBe(24);
    await database.sql`select rate_limiter_private.make_partitions('2023-01-03')`;
  });
});
