import { expect, test } from "vitest";
import { makeTwoTenants, type RoleName } from "../../data-model/world.ts";
import { createDatabase } from "../../harness/index.ts";

const database = await createDatabase();
const { mine, theirs } = await makeTwoTenants(database);

function as<T>(role: RoleName, statement: (visitor: typeof database.sql) => Promise<T>) {
  return database.withTransaction(
    "rate_limiter_visitor",
    { user_id: mine.users[role] },
    (visitor) => statement(visitor as unknown as typeof database.sql),
  );
}

const usage = (visitor: typeof database.sql) => visitor`
  select
    u.app_id, u.tokens_per_second * 60 as tokens, u.bytes_per_second * 60 as bytes,
    u.cluster_tokens_per_second * 60 as cluster_tokens, u.denied_per_second > 0 as is_denied
  from rate_limiter_admin.recent_usage(60) as u
`;

test("usage is what was taken and denied just now, of the own tenant alone", async () => {
  // What the world itself has written is not of this test.
  const before = new Map((await as("system_admin", usage)).map((row) => [row.app_id, row]));
  const app = database.as("rate_limiter_app");
  for (const { appId } of [mine, theirs]) {
    await app`select from rate_limiter.consume(${appId}, 'read_small', 100)`;
    await app`select from rate_limiter.consume(${appId}, 'read_small', 100000)`;
  }
  const [charged] = await database.sql`
    select -sum(t.tokens_change) as tokens
    from rate_limiter.token_transactions as t
    where t.owner_id = ${mine.appId} and t.bucket_type = 'iops_l2' and t.mode = 'enforce'
      and t.transaction_type in ('consume', 'lease', 'settle', 'owed', 'refund')
      and t.created_at >= now() - interval '1 minute'
  `;
  const all = await as("system_admin", usage);
  expect(all.map((row) => row.app_id).toSorted()).toEqual([mine.appId, theirs.appId].toSorted());
  const own = await as("app_viewer", usage);
  expect(own.map((row) => row.app_id)).toEqual([mine.appId]);
  const [row] = own;
  expect(Number(row?.tokens)).toBeCloseTo(Number(charged?.tokens), 0);
  expect(row?.cluster_tokens).toBe(row?.tokens);
  expect(Number(row?.bytes)).toBeGreaterThan(Number(before.get(mine.appId)?.bytes ?? 0));
});

test("what clusters hold is for system administrators alone", async () => {
  await database.sql`
    select rate_limiter_internal.publish_quota_at(
      now(), null, ${mine.clusterId}, 'enforce', null, null,
      '{"iops_limit": 10, "iops_burst": 20, "burst_duration_seconds": 10, "refill_rate": 10}',
      null, 'the cluster'
    )
  `;
  const buckets = (visitor: typeof database.sql) => visitor`
    select b.cluster_id, b.bucket_type, b.capacity, b.refill_rate, b.reserved, b.debt
    from rate_limiter_admin.cluster_buckets() as b
  `;
  expect(await as("system_admin", buckets)).toEqual([
    {
      cluster_id: mine.clusterId,
      bucket_type: "iops_l1",
      capacity: "100.000000",
      refill_rate: "10",
      reserved: "1",
      debt: "0",
    },
  ]);
  for (const role of ["tenant_admin", "ops_admin", "auditor"] as const) {
    expect(await as(role, buckets)).toEqual([]);
  }
});
