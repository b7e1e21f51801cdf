import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { drainDefaultPartitions } from "../../src/archive/drain-default-partitions.ts";
import { openStore } from "../../src/archive/open-store.ts";
import { queryArchives, writeParquet } from "../../src/archive/query/query-archives.ts";
import { runCli } from "../cli/run-cli.ts";
import { createDatabase } from "../harness/index.ts";
import { makeApplication } from "../sql/denials/world.ts";
import { retentionWorld } from "../tasks/apply-retention-world.ts";
import { startBucketServer } from "./bucket-server.ts";

const database = await createDatabase();
const { applyRetention, exportFirst, oldMetrics } = retentionWorld(database);
const home = mkdtempSync(join(tmpdir(), "archives-"));
const folder = join(home, "archive");
afterAll(() => rmSync(home, { recursive: true }));

/** What was in the database before retention took it away, in its own words. */
let ledger: { rows: string; tokens: string; texts: string; first: string };
let samples: { rows: string; tags: string };

/** A ledger of a day that retention exports, whose amounts no double holds. */
async function oldLedger(appId: string): Promise<void> {
  await database.sql`
    insert into rate_limiter.token_transactions
      (shard_key, owner_id, created_at, seq, bucket_type, mode, transaction_type, tokens_change,
        refilled, balance_after, reference_id)
    select
      shard_key, app_id, date_trunc('day', now() - interval '400 days') + n * interval '1 second', n,
      'iops_l2', 'enforce', 'consume', -(9007199254740993 + n) * 1.000001, 0, 0,
      case n % 3 when 0 then null when 1 then '' else 'a,"b"' end
    from rate_limiter.app_facts, generate_series(1, 500) as n
    where app_id = ${appId}
  `;
  await drainDefaultPartitions(database.as("rate_limiter_owner"));
}

beforeAll(async () => {
  const appId = await makeApplication(database);
  await exportFirst("token_transactions");
  await exportFirst("raw_metrics");
  await oldMetrics(appId, 95, 40);
  await oldMetrics(appId, 96, 60);
  await oldLedger(appId);
  const { sql } = database;
  const [ledgerRow] = await sql<[typeof ledger]>`
    select count(*)::text as rows, sum(tokens_change)::text as tokens,
      count(distinct reference_id)::text as texts,
      to_char(min(created_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS+00') as first
    from rate_limiter.token_transactions where owner_id = ${appId}
  `;
  const [samplesRow] = await sql<[typeof samples]>`
    select count(*)::text as rows, sum(length(tags::text))::text as tags
    from rate_limiter.metrics where app_id = ${appId}
  `;
  [ledger, samples] = [ledgerRow, samplesRow];
  expect(await applyRetention({ QOS_ARCHIVE_FOLDER: folder })).toBeNull();
  const left = await sql`
    select from rate_limiter.token_transactions where owner_id = ${appId}
  `;
  expect(left).toHaveLength(0);
});

describe("a query over archives", () => {
  test("answers rows and sums as the database would have, to the last digit", async () => {
    const { rows } = await queryArchives(
      openStore(folder),
      `select count(*)::varchar as rows, sum(tokens_change)::varchar as tokens,
        count(distinct reference_id)::varchar as texts, min(created_at)::varchar as first
      from token_transactions;`,
      10,
    );
    expect(rows).toEqual([ledger]);
  });

  test("takes all files of a type of data together, and JSON as JSON", async () => {
    const { rows } = await queryArchives(
      openStore(folder),
      "select count(*)::varchar as rows, count(json_type(tags))::varchar as typed from raw_metrics",
      10,
    );
    expect(rows).toEqual([{ rows: samples.rows, typed: samples.rows }]);
    expect(samples.rows).toBe("100");
  });

  test("answers the same from a bucket", async () => {
    const server = await startBucketServer();
    const appId = await makeApplication(database);
    await oldLedger(appId);
    expect(await applyRetention(server.env)).toBeNull();
    const store = openStore(server.place, server.env);
    const { rows } = await queryArchives(
      store,
      "select sum(tokens_change)::varchar as tokens from token_transactions",
      10,
    );
    expect(rows).toEqual([{ tokens: ledger.tokens }]);
  });

  test("becomes a Parquet file that any reader of Parquet reads", async () => {
    const file = join(home, "it's.parquet");
    const written = await writeParquet(openStore(folder), "from token_transactions", file);
    expect(String(written)).toBe(ledger.rows);
    const engine = await (await DuckDBInstance.create()).connect();
    const read = await engine.runAndReadAll(
      `select sum(tokens_change)::varchar from '${file.replace("'", "''")}'`,
    );
    expect(read.getRows()).toEqual([[ledger.tokens]]);
    const [[codec] = []] = (
      await engine.runAndReadAll(
        `select distinct compression from parquet_metadata('${file.replace("'", "''")}')`,
      )
    ).getRows();
    expect(codec).toBe("ZSTD");
    engine.closeSync();
  });

  test.each([
    ["reads a file elsewhere", () => "select * from read_csv('/etc/passwd')"],
    ["reads a file beside the folder", () => `select * from read_text('${home}/secret')`],
    ["is more than one", () => "select 1); copy (select 1) to '/tmp/x.csv'; select (1"],
    ["writes", () => `copy (select 1) to '${folder}/x.csv'`],
    ["is none", () => "selec 1"],
    ["asks for what there is not", () => "select * from audit_logs"],
  ])("is refused where it %s, and the hint names the tables", async (_, query) => {
    writeFileSync(join(home, "secret"), "x");
    await expect(queryArchives(openStore(folder), query(), 10)).rejects.toMatchObject({
      code: "archive_query_refused",
      hint: expect.stringContaining("raw_metrics, token_transactions"),
    });
  });

  test("is given by the command line, as a table, JSON or Parquet", async () => {
    const env = { QOS_ARCHIVE_FOLDER: folder };
    const ask = (...words: string[]) => runCli(["archive", "query", ...words], env);
    const table = await ask("select count(*) as rows from token_transactions");
    expect(table.stdout).toBe(`rows\n ${ledger.rows}\n`);
    const json = await ask("from raw_metrics order by all", "--json", "--limit", "2");
    const lines = json.stdout.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).metric_name)).toHaveLength(2);
    expect(json.stderr).toContain("more than 2 rows");
    const file = join(home, "all.parquet");
    const parquet = await ask("from raw_metrics", "--parquet", file);
    expect(parquet.stdout).toBe(`${file}: 100 rows\n`);
    const refused = await ask("select 1 from nothing_here");
    expect(refused).toMatchObject({ code: 2 });
  });
});
