import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { raced } from "../decisions/raced.ts";
import { limitedApplication, makeApplication, makeCluster, moment, publish } from "../world.ts";

/**
 * The row of a bucket gets a new generation, which is part of its key, while old versions of it
 * cannot be pruned. Nothing that is decided meanwhile may notice.
 */
const database = await createDatabase();
const { sql } = database;

const generationOf = async (ownerId: string) => {
  const rows = await sql<{ generation: number }[]>`
    select b.generation from rate_limiter.token_buckets as b
    where b.owner_id = ${ownerId} and b.bucket_type in ('iops_l2', 'iops_l1')
  `;
  return rows.map((row) => row.generation);
};

/** Its next decision finds the row on another page than it remembers, at a 64th version. */
const makeDue = (ownerId: string) =>
  sql`
    update rate_limiter.token_buckets
    set page = 4000000000, ledger_seq = (ledger_seq / 64 + 1) * 64 - 1
    where owner_id = ${ownerId}
  `;

const consume = (appId: string) => (session: typeof sql) =>
  session`
    select * from rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'head', 0
    )
  `;

test("a decision that waited while the row got a new generation is made once", async () => {
  const appId = await limitedApplication(sql, { iops: 1, burst: 100 });
  await consume(appId)(sql);
  await makeDue(appId);
  const answers = await raced(database, consume(appId), consume(appId));
  expect(answers.map(([answer]) => answer?.allowed)).toEqual([true, true]);
  expect(await generationOf(appId)).toEqual([-1]);
  const kinds = await sql`
    select t.transaction_type, count(*)::integer
    from rate_limiter.token_transactions as t
    where t.owner_id = ${appId}
    group by t.transaction_type
  `;
  // No race was lost, which would have been a refund.
  expect(kinds.map((kind) => kind.transaction_type)).not.toContain("refund");
});

test("the last token is given once, whatever the generation", async () => {
  const appId = await limitedApplication(sql, { iops: 1, burst: 2 });
  await consume(appId)(sql);
  await makeDue(appId);
  const answers = await raced(database, consume(appId), consume(appId));
  expect(answers.map(([answer]) => answer?.allowed)).toEqual([true, false]);
});

test("a hint that is wrong costs time and no answer", async () => {
  const appId = await limitedApplication(sql, { iops: 1000, burst: 1000 });
  for (const hint of [-1_000_000, 1_000_000]) {
    await sql`
      update rate_limiter.app_facts set bucket_generation = ${hint} where app_id = ${appId}
    `;
    expect((await consume(appId)(sql))[0]).toMatchObject({ allowed: true });
  }
});

test("a quota that is published again finds the bucket that is there", async () => {
  const clusterId = await makeCluster(sql);
  const appId = await makeApplication(sql, { clusterId });
  for (const owner of [{ appId }, { clusterId }]) {
    await publish(sql, owner, { iops: 1000, burst: 1000 });
  }
  await consume(appId)(sql);
  await makeDue(appId);
  await makeDue(clusterId);
  await consume(appId)(sql);
  expect(await generationOf(appId)).toEqual([-1]);
  await sql`
    select rate_limiter_internal.add_bucket(c, false)
    from rate_limiter.quota_configs as c
    where ${appId}::uuid = c.app_id or ${clusterId}::uuid = c.cluster_id
  `;
  expect(await generationOf(appId)).toHaveLength(1);
  expect(await generationOf(clusterId)).toHaveLength(1);
});

test("sessions at once stay exact beside a snapshot, with layer 1 and its stripes", async () => {
  const clusterId = await makeCluster(sql);
  const appId = await makeApplication(sql, { clusterId });
  await publish(sql, { clusterId }, { iops: 100_000, burst: 100_000, bytes: 1e9 });
  await publish(sql, { appId }, { iops: 1, burst: 900, bytes: 1e9 });
  const reader = await database.session("reader");
  await reader.sql`begin isolation level repeatable read`;
  await reader.sql`select count(*) from rate_limiter.applications`;
  const calls = 320;
  const callers = await Promise.all(
    ["a", "b", "c", "d"].map((name) => database.session(name, "rate_limiter_owner")),
  );
  await Promise.all(
    callers.map((caller) =>
      caller.sql.unsafe(`
        do $$ begin
          for i in 1..${calls} loop
            perform rate_limiter.consume('${appId}', 'read_small', 4096);
            commit;
          end loop;
        end $$
      `),
    ),
  );
  await reader.sql`commit`;
  expect((await generationOf(appId))[0]).toBeLessThan(0);
  expect(await generationOf(appId)).toHaveLength(1);
  const gaps = await sql`
    select g.* from rate_limiter.verify_ledger() as g where g.owner_id in (${appId}, ${clusterId})
  `;
  expect([...gaps]).toEqual([]);
  const [spent] = await sql`
    select -sum(t.tokens_change)::float8 as tokens, sum(t.refilled)::float8 as refilled
    from rate_limiter.token_transactions as t
    where t.owner_id = ${appId} and t.bucket_type = 'iops_l2'
      and t.transaction_type in ('consume', 'refund')
  `;
  expect(spent?.tokens).toBeGreaterThan(0);
  expect(spent?.tokens).toBeLessThanOrEqual(900 + 30);
}, 60_000);
