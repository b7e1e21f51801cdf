import { afterAll, describe, expect, test } from "vitest";
import { migrate } from "../../../src/migrations/migrate.ts";
import { connect, type Sql, withConnection } from "../../../src/postgres/connect.ts";
import { withDatabase, withRole } from "../../../src/postgres/url.ts";
import { ledgerGaps, limitedApplication, makeCluster, publish, setSetting } from "../world.ts";
import { startCrashServer } from "./crash-server.ts";

const server = await startCrashServer();
afterAll(() => server.remove());
const url = withDatabase(server.url, "crash");
await withConnection(server.url, (sql) => sql`create database crash`);
await migrate(url);

const callers = 6;
/** Of each kind; .ci/full has ten. */
const crashes = Number(process.env.QOS_TEST_CRASHES ?? 3);

/** Admissions whose answers reached the caller before the crash, by their references. */
async function consumeUntilTheEnd(
  appIds: string[],
  round: string,
  enough: () => void,
): Promise<string[]> {
  const answered: string[] = [];
  await Promise.all(
    Array.from({ length: callers }, async (_, number) => {
      const sql = connect(withRole(url, "rate_limiter_app"), { max: 1, idle_timeout: 0 });
      const reference = (call: number) => `${round} ${number} ${call}`;
      for (let call = 0; await admitted(sql, appIds, reference(call)); call++) {
        answered.push(reference(call));
        if (answered.length === 120) enough();
      }
      await sql.end({ timeout: 0 });
    }),
  );
  return answered;
}

/** False once the server is gone. */
async function admitted(sql: Sql, appIds: string[], reference: string): Promise<boolean> {
  const appId = appIds[Number(reference.at(-1)) % appIds.length] ?? "";
  try {
    // One road of the decision carries a reference, the other does not.
    await sql`select rate_limiter.consume(${appId}, 'read_small', 100)`;
    const [decision] = await sql`
      select allowed from rate_limiter.consume(${appId}, 'head', 100, ${reference})
    `;
    return decision?.allowed;
  } catch {
    return false;
  }
}

describe.each([
  ["on", "true"],
  ["off", "false"],
])("after crashes in the midst of decisions, with durable decisions %s", (_, durable) => {
  test("the ledger explains what is there, and no token was invented", async () => {
    const appIds = await makeWorld(durable);
    for (let crash = 0; crash < crashes; crash += 1) {
      const answered = await crashUnder(appIds, String(crash));
      await withConnection(url, (sql) => expectTruth(sql, { appIds, answered, durable }));
    }
  }, 300_000);
});

async function makeWorld(durable: string): Promise<string[]> {
  return withConnection(url, async (sql) => {
    await setSetting(sql, "decision_synchronous_commit", durable);
    const clusterId = await makeCluster(sql);
    // So fast that decisions draw on it ahead of need.
    await publish(sql, { clusterId }, { iops: 1_000_000, bytes: 1_000_000_000 });
    const quota = { iops: 1, burst: 100_000, bytes: 100_000_000 };
    return [
      await limitedApplication(sql, quota, { clusterId }),
      await limitedApplication(sql, quota, { clusterId }),
    ];
  });
}

/** The receipts of the callers: references of admissions that were answered before the crash. */
async function crashUnder(appIds: string[], round: string): Promise<string[]> {
  let crashed: Promise<void> | undefined;
  const answered = await consumeUntilTheEnd(appIds, round, () => {
    crashed = server.crash();
  });
  await crashed;
  await server.restart();
  return answered;
}

interface Round {
  readonly appIds: readonly string[];
  readonly answered: readonly string[];
  readonly durable: string;
}

async function expectTruth(sql: Sql, { appIds, answered, durable }: Round): Promise<void> {
  expect(await ledgerGaps(sql)).toEqual([]);
  const [drawnAhead] = await sql`
    select
      (select count(*)::integer from rate_limiter_internal.layer1_stripes) as stripes,
      count(*)::integer as draws
    from rate_limiter.token_transactions where transaction_type = 'prefetch'
  `;
  expect(drawnAhead?.draws).toBeGreaterThan(0);
  expect(drawnAhead?.stripes).toBe(0);
  const [tooFull] = await sql`
    select count(*) as count
    from rate_limiter.token_buckets where current_tokens > capacity or current_tokens < 0
  `;
  expect(tooFull?.count).toBe("0");

  const kept = await sql`
    select t.reference_id
    from rate_limiter.token_transactions as t
    join rate_limiter.charges as c on c.app_id = t.owner_id and c.reference_id = t.reference_id
    where t.owner_id = any(${appIds}::uuid[]) and t.bucket_type = 'iops_l2'
      and starts_with(t.reference_id, ${roundOf(answered)})
  `;
  const references = new Set(kept.map((row) => row.reference_id));
  const forgotten = answered.filter((reference) => !references.has(reference));
  if (durable === "true") expect(forgotten).toEqual([]);
  // Of what was not answered, each caller had no more than one under way.
  expect(references.size).toBeLessThanOrEqual(answered.length + callers);
}

/** What its references begin with. */
function roundOf(answered: readonly string[]): string {
  return `${answered[0]?.split(" ")[0]} `;
}
