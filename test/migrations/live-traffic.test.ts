import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { createLimiter } from "../../src/client/index.ts";
import { projectPath } from "../../src/paths.ts";
import type { Sql } from "../../src/postgres/connect.ts";
import { silent } from "../client/silent.ts";
import { createDatabase } from "../harness/index.ts";
import { untilOver } from "../harness/until-over.ts";
import { limitedApplication, makeCluster, publish } from "../sql/world.ts";

const database = await createDatabase();
const clusterId = await makeCluster(database.sql);
await publish(database.sql, { clusterId }, { iops: 1_000_000 });
const quota = { iops: 100_000, bytes: 1_000_000_000 };
const appId = await limitedApplication(database.sql, quota, { clusterId });

/** Tables whose rows the functions of decisions handle as a whole. */
const tables = ["app_facts", "app_costs", "token_buckets", "token_leases", "charges"];

const functions = [
  ...readFileSync(projectPath("db/fixtures/all.sql"), "utf8").matchAll(/^--!include (\S+)$/gm),
]
  .map(([, path = ""]) => readFileSync(projectPath("db/fixtures", path), "utf8"))
  .filter((text) => text.startsWith("create or replace function"));

/** All that sessions of the data plane call, again and again, with plans that are cached. */
function startCaller(errors: string[]) {
  const sql = database.as("rate_limiter_app");
  const calling = untilOver();
  let calls = 0;
  const done = (async () => {
    while (!calling.isOver) {
      calls += 1;
      await callAll(sql, calls).catch((error: { code?: string; message: string }) =>
        errors.push(`${error.code} ${error.message}`),
      );
    }
  })();
  return {
    calls: () => calls,
    async stop() {
      calling.end();
      await done;
    },
  };
}

async function callAll(sql: Sql, call: number): Promise<void> {
  const reference = `migrated ${process.pid} ${call} ${Math.random()}`;
  await sql`select * from rate_limiter.consume(${appId}, 'head', 10)`;
  await sql`select * from rate_limiter.consume(${appId}, 'head', 10, ${reference})`;
  await sql`select * from rate_limiter.settle(${appId}, ${reference}, 20)`;
  await sql`select rate_limiter.refund(${appId}, ${reference})`;
  const [lease] = await sql`select * from rate_limiter.lease_tokens(${appId}, 10, 10)`;
  await sql`select * from rate_limiter.settle_lease(${appId}, ${lease?.lease_id}, 1, 1)`;
  await sql`select rate_limiter.charge_owed(${appId}, 1, 1, ${reference})`;
}

/** As a migration does it: in one transaction, and again where it meets a lock. */
async function migrate(work: (sql: Sql) => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await database.sql.begin(async (sql) => {
        await sql`set local lock_timeout = '1s'`;
        await work(sql as unknown as Sql);
      });
      return;
    } catch (error) {
      const { code } = error as { code?: string };
      if (attempt === 20 || (code !== "55P03" && code !== "40P01")) throw error;
      await sleep(50);
    }
  }
}

test("no session sees an error while columns are added and functions replaced", async () => {
  const errors: string[] = [];
  const outages: string[] = [];
  const limiter = createLimiter({
    ...{ connection: database.urlAs("rate_limiter_app"), application: appId, logger: silent },
    hooks: { onOutage: (error) => outages.push(`${error.code} ${error.message}`) },
  });
  onTestFinished(() => limiter.close());
  await limiter.checkAsync("head");
  const callers = [startCaller(errors), startCaller(errors)];
  for (const table of tables) {
    await migrate(async (sql) => {
      await sql.unsafe(`alter table rate_limiter.${table} add column added_later text`);
    });
    expect(await limiter.checkAsync("head", 0, { reference: table })).toMatchObject({
      allowed: true,
      reason: null,
    });
  }
  const before = callers.map((caller) => caller.calls());
  await migrate(async (sql) => {
    for (const text of functions) await sql.unsafe(text);
  });
  await expect
    .poll(() => callers.every((caller, i) => caller.calls() > (before[i] ?? 0) + 2), {
      timeout: 30_000,
    })
    .toBe(true);
  expect(await limiter.checkAsync("head", 0, { reference: "functions" })).toMatchObject({
    allowed: true,
    reason: null,
  });
  for (const caller of callers) await caller.stop();
  expect(errors).toEqual([]);
  expect(outages).toEqual([]);
}, 120_000);
