import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { limitedApplication, makeCluster, publish } from "../world.ts";

/** Plans of a new database are made before anything is known of its tables, and then kept. */
const database = await createDatabase();
const { sql } = database;
await sql`alter table rate_limiter.token_leases set (autovacuum_enabled = off)`;

const siblings = 30;
const leasesOfEach = 100;

test("a lease reads the open leases of its application alone, without statistics", async () => {
  const clusterId = await makeCluster(sql);
  const quota = { iops: 1_000_000, burst: 1_000_000 };
  await publish(sql, { clusterId }, quota);
  const appId = await limitedApplication(sql, quota, { clusterId });
  const session = await database.session("leases");
  const lease = () => session.sql`select rate_limiter.lease_tokens(${appId}, 1, 0, '1 hour')`;
  // Twice more than a function's statements are planned anew at each call.
  for (let call = 0; call < 12; call++) await lease();
  await sql`
    insert into rate_limiter.token_leases
      (shard_key, app_id, cluster_id, tokens, bytes, charged, granted_at, expires_at)
    select
      rate_limiter_internal.shard_key_of(${clusterId}), md5(s::text)::uuid, ${clusterId}, 1, 0,
      '{}', now(), now() + interval '1 hour'
    from generate_series(1, ${siblings}::integer) as s
    cross join generate_series(1, ${leasesOfEach}::integer)
  `;
  const rowsRead = async () => {
    const [row] = await session.sql`
      select (seq_tup_read + idx_tup_fetch)::integer as rows
      from pg_stat_xact_user_tables where relid = 'rate_limiter.token_leases'::regclass
    `;
    return row?.rows ?? 0;
  };
  await session.sql`begin`;
  // Counts go on from one transaction to the next until the server takes them over.
  const before = await rowsRead();
  await lease();
  const read = (await rowsRead()) - before;
  await session.sql`commit`;
  // The twelve that it has, before and under its locks.
  expect(read).toBeGreaterThanOrEqual(24);
  expect(read).toBeLessThan(100);
});
