import { expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { makeApplication, publish, year } from "../control-plane.ts";

const database = await createDatabase();
const { sql } = database;

/** History as it came to be, without the work of the triggers. */
const pastQuotas = (appId: string, count: number) =>
  sql.begin(async (transaction) => {
    await transaction`set local session_replication_role = replica`;
    await transaction`
      with quotas as (
        insert into rate_limiter.quota_configs (app_id, valid_from, valid_to)
        select ${appId}, '2020-01-01'::timestamptz + i * interval '1 hour',
          '2020-01-01'::timestamptz + i * interval '1 hour' + interval '30 minutes'
        from generate_series(1, ${count}::integer) as i
        returning config_id
      )
      insert into rate_limiter.iops_quotas
        (config_id, iops_limit, iops_burst, burst_duration_seconds, refill_rate)
      select q.config_id, 10, 10, 1, 10 from quotas as q
    `;
  });

/** Pages that one look-up of the quota in force reads. */
async function pagesRead(appId: string): Promise<number> {
  const look = `
    explain (analyze, buffers, timing off, format json)
    select rate_limiter_internal.quota_snapshot_at(
      rate_limiter_internal.app_shard_key('${appId}'), clock_timestamp(), '${appId}', 'iops_l2', 'enforce'
    )`;
  await sql.unsafe(look);
  const [row] = await sql.unsafe(look);
  const plan = row?.["QUERY PLAN"][0].Plan;
  return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
}

test("looking a quota up reads no more pages for a long history", async () => {
  const few = await makeApplication(sql);
  const many = await makeApplication(sql);
  await pastQuotas(few, 3);
  await pastQuotas(many, 2_000);
  for (const appId of [few, many]) await publish(sql, { appId, iops: 10 });
  await sql`analyze rate_limiter.quota_configs, rate_limiter.iops_quotas`;
  expect(await pagesRead(many)).toBeLessThanOrEqual((await pagesRead(few)) + 4);
});

test("a hundred quotas of an application may be scheduled, and not one more", async () => {
  const appId = await makeApplication(sql);
  const schedule = (i: number) =>
    publish(sql, { appId, iops: 10, from: year(2101 + 2 * i), to: year(2102 + 2 * i) });
  for (let i = 0; i < 100; i += 1) await schedule(i);
  await expectSqlState(schedule(100), "QS422");
});

test("a change of quota rolls a bucket that decides nothing through the changes before", async () => {
  const appId = await makeApplication(sql);
  const ids: string[] = [];
  for (let limit = 10; limit < 15; limit += 1) {
    ids.push(await publish(sql, { appId, iops: limit }));
  }
  const [bucket] = await sql`
    select b.config_id from rate_limiter.token_buckets as b
    where b.owner_id = ${appId} and b.bucket_type = 'iops_l2' and b.mode = 'enforce'
  `;
  // The last one takes force with the next decision.
  expect(bucket?.config_id).toBe(ids.at(-2));
});
