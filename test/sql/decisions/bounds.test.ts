import { beforeAll, describe, expect, test } from "vitest";
import type { Sql, TransactionSql } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import { limitedApplication, makeCluster, publish, setSetting } from "../world.ts";
import bounds from "./bounds.json" with { type: "json" };

/** What a call costs however fast the machine is: nothing of it may creep up unnoticed. */
interface Cost {
  /** Statements that run inside the function. */
  readonly statements: number;
  readonly rows: number;
  readonly walBytes: number;
  readonly buffers: number;
}

const database = await createDatabase();
const fewestRounds = 8;
const rounds = 64;
/** Before PostgreSQL 17 each row of an insert looks at the BRIN index's pages anew. */
let pagesOfOlderServers = 0;
const ids = { one: "", both: "", empty: "", key: "" };

beforeAll(async () => {
  const { sql } = database;
  const [server] = await sql`select current_setting('server_version_num')::integer as version`;
  pagesOfOlderServers = server?.version < 170_000 ? 2 : 0;
  // On a slow machine, too, the next round finds what this one has prefetched.
  await setSetting(sql, "layer1_prefetch_ms", 1_000);
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: 100_000, burst: 1_000_000, bytes: 1_000_000_000 });
  ids.one = await limitedApplication(sql, { iops: 1000, burst: 100_000 });
  const quota = { iops: 10_000, burst: 100_000, bytes: 100_000_000 };
  ids.both = await limitedApplication(sql, quota, { clusterId });
  ids.empty = await limitedApplication(sql, { iops: 1, burst: 1 });
  const [key] = await sql`select api_key from rate_limiter_private.issue_api_key(${ids.both})`;
  ids.key = key?.api_key;
  await sql`
    select rate_limiter.consume(${ids.one}, 'head', 0, 'settled ' || i)
    from generate_series(0, ${rounds - 1}::integer) as i
  `;
});

const calls: Record<keyof typeof bounds, (round: number) => string> = {
  // In this order: what later calls insert fills the pages that earlier ones change.
  settle: (round) => `rate_limiter.settle('${ids.one}', 'settled ${round}', 10)`,
  "consume, one bucket": () => `rate_limiter.consume('${ids.one}', 'head')`,
  "consume by key, two layers, bytes": () =>
    `rate_limiter.consume_with_key('${ids.key}', 'read_small', 4096)`,
  "consume under a reference": (round) =>
    `rate_limiter.consume('${ids.one}', 'head', 0, 'r${round}')`,
  "a denial": () => `rate_limiter.consume('${ids.empty}', 'list')`,
  check_limit: () => `rate_limiter.check_limit('${ids.both}', 'read_small', 4096)`,
  "a lease, two layers": () => `rate_limiter.lease_tokens('${ids.both}', 10, 100)`,
  "a batch of 100": () =>
    `rate_limiter.consume_batch(
      '${ids.one}', array_fill('head'::text, array[100]), array_fill(0::bigint, array[100])
    )`,
  "a batch of 1000 under references": (round) =>
    `rate_limiter.consume_batch(
      '${ids.both}', array_fill('head'::text, array[1000]), array_fill(1::bigint, array[1000]),
      array(select 'b${round} ' || i from generate_series(1, 1000) as i)
    )`,
};

/**
 * The least of several rounds: now and then a page is full, or a catalog is read. What other
 * databases of the server do makes sessions read catalogs again, so there are as many rounds as
 * it takes, up to a limit.
 */
async function costOf(call: (round: number) => string, bound: Cost): Promise<Cost> {
  const { sql } = await database.session("measured");
  await sql`set pg_stat_statements.track = 'all'`;
  await sql`set pg_stat_statements.track_utility = off`;
  let least: Cost | undefined;
  for (let round = 0; round < rounds; round++) {
    const cost = await sql.begin((transaction) => measured(transaction, call(round)));
    least = least === undefined ? cost : leastOf(least, cost);
    if (round + 1 >= fewestRounds && isWithin(least, bound)) break;
  }
  return least as Cost;
}

function leastOf(one: Cost, other: Cost): Cost {
  return {
    statements: Math.min(one.statements, other.statements),
    rows: Math.min(one.rows, other.rows),
    walBytes: Math.min(one.walBytes, other.walBytes),
    buffers: Math.min(one.buffers, other.buffers),
  };
}

function isWithin(cost: Cost, bound: Cost): boolean {
  return (Object.keys(bound) as (keyof Cost)[]).every((what) => cost[what] <= bound[what]);
}

async function measured(sql: TransactionSql, call: string): Promise<Cost> {
  const before = await nestedStatements(sql);
  const rowsBefore = await writtenRows(sql);
  const [explained] = await sql.unsafe(
    `explain (analyze, wal, buffers, timing off, format json) select ${call}`,
  );
  const plan = explained?.["QUERY PLAN"][0].Plan;
  return {
    statements: (await nestedStatements(sql)) - before,
    rows: (await writtenRows(sql)) - rowsBefore,
    walBytes: plan["WAL Bytes"],
    buffers: plan["Shared Hit Blocks"] + plan["Shared Read Blocks"],
  };
}

/** Counts go on from one transaction to the next until the server takes them over. */
async function writtenRows(sql: TransactionSql): Promise<number> {
  const [row] = await sql`
    select sum(n_tup_ins + n_tup_upd + n_tup_del)::integer as rows
    from pg_stat_xact_user_tables where schemaname like 'rate\\_limiter%'
  `;
  return row?.rows;
}

async function nestedStatements(sql: TransactionSql | Sql): Promise<number> {
  const [row] = await sql`
    select coalesce(sum(s.calls), 0)::integer as calls
    from pg_stat_statements as s
    join pg_database as d on d.oid = s.dbid
    where not s.toplevel and d.datname = current_database()
  `;
  return row?.calls;
}

function boundOf(name: keyof typeof bounds): Cost {
  const bound = bounds[name];
  const more = bound.rows > 0 ? pagesOfOlderServers : 0;
  return { ...bound, buffers: bound.buffers + more };
}

describe("what a call costs stays within bounds", () => {
  test.each(Object.entries(calls))("%s", async (name, call) => {
    const bound = boundOf(name as keyof typeof bounds);
    const cost = await costOf(call, bound);
    for (const what of Object.keys(bound) as (keyof Cost)[]) {
      expect(cost[what], `${name}: ${what}`).toBeLessThanOrEqual(bound[what]);
    }
  });
});

test("a batch looks each of its references up by its key, whatever statistics say", async () => {
  const { sql } = await database.session("references");
  const batch = (name: string) => sql`
    select rate_limiter.consume_batch(
      ${ids.one}, array_fill('head'::text, array[200]), array_fill(0::bigint, array[200]),
      array(select ${name} || i from generate_series(1, 200) as i)
    )
  `;
  const lookups = async () => {
    const [row] = await sql`
      select idx_scan::integer as count from pg_stat_xact_user_tables where relname = 'charges'
    `;
    return row?.count;
  };
  for (const name of ["first", "second"]) {
    await sql`begin`;
    const before = await lookups();
    await batch(name);
    // Before the locks, and under them.
    expect((await lookups()) - before).toBeGreaterThanOrEqual(400);
    await sql`commit`;
  }
});
