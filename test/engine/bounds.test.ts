import { beforeAll, describe, expect, test } from "vitest";
import type { Sql, TransactionSql } from "../../src/postgres/connect.ts";
import { createDatabase } from "../harness/index.ts";
import bounds from "./bounds.json" with { type: "json" };
import { limitedApplication, makeCluster, publish } from "./world.ts";

/** What a call costs however fast the machine is: nothing of it may creep up unnoticed. */
interface Cost {
  /** Statements that run inside the function. */
  readonly statements: number;
  readonly rows: number;
  readonly walBytes: number;
  readonly buffers: number;
}

const database = await createDatabase();
const rounds = 6;
/** Before PostgreSQL 17 each row of an insert looks at the BRIN index's pages anew. */
let pagesOfOlderServers = 0;
const ids = { one: "", both: "", empty: "", key: "" };

beforeAll(async () => {
  const { sql } = database;
  const [server] = await sql`select current_setting('server_version_num')::integer as version`;
  pagesOfOlderServers = server?.version < 170_000 ? 2 : 0;
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
  "consume, one bucket": () => `rate_limiter.consume('${ids.one}', 'head')`,
  "consume by key, two layers, bytes": () =>
    `rate_limiter.consume_with_key('${ids.key}', 'read_small', 4096)`,
  "consume under a reference": (round) =>
    `rate_limiter.consume('${ids.one}', 'head', 0, 'r${round}')`,
  "a denial": () => `rate_limiter.consume('${ids.empty}', 'list')`,
  check_limit: () => `rate_limiter.check_limit('${ids.both}', 'read_small', 4096)`,
  "a batch of 100": () =>
    `rate_limiter.consume_batch(
      '${ids.one}', array_fill('head'::text, array[100]), array_fill(0::bigint, array[100])
    )`,
  "a lease, two layers": () => `rate_limiter.lease_tokens('${ids.both}', 10, 100)`,
  settle: (round) => `rate_limiter.settle('${ids.one}', 'settled ${round}', 10)`,
};

/** The least of several rounds: now and then a page is full, or a catalog is read. */
async function costOf(call: (round: number) => string): Promise<Cost> {
  const { sql } = await database.session("measured");
  await sql`set pg_stat_statements.track = 'all'`;
  await sql`set pg_stat_statements.track_utility = off`;
  const costs: Cost[] = [];
  for (let round = 0; round < rounds; round++) {
    costs.push(await sql.begin((transaction) => measured(transaction, call(round))));
  }
  const least = (what: keyof Cost) => Math.min(...costs.map((cost) => cost[what]));
  return {
    statements: least("statements"),
    rows: least("rows"),
    walBytes: least("walBytes"),
    buffers: least("buffers"),
  };
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

describe("what a call costs stays within bounds", () => {
  test.each(Object.entries(calls))("%s", async (name, call) => {
    const cost = await costOf(call);
    const bound = bounds[name as keyof typeof bounds];
    for (const what of Object.keys(bound) as (keyof Cost)[]) {
      const more = what === "buffers" && bound.rows > 0 ? pagesOfOlderServers : 0;
      expect(cost[what], `${name}: ${what}`).toBeLessThanOrEqual(bound[what] + more);
    }
  });
});
