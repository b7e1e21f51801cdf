import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeApplication,
  makeCluster,
  makeTenant,
  publish,
} from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const gateway = database.as("rate_limiter_app");

/** Slow: what flows in while a test runs is next to nothing. */
const quota = { iops: 1, burst: 1000, bytes: 1_000_000 };

async function cluster(): Promise<string> {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: 1, burst: 1000, bytes: 1_000_000 });
  return clusterId;
}

const moveTo = (clusterId: string | null, appId: string) => (session: Sql) =>
  session`
  update rate_limiter.applications set cluster_id = ${clusterId} where app_id = ${appId}
`;

async function keyOf(ownerId: string): Promise<number> {
  const [row] = await sql`select rate_limiter_internal.shard_key_of(${ownerId}) as key`;
  return row?.key;
}

/** Tables of the data plane, and how many rows each has of an application by shard key. */
async function rowsOf(appId: string): Promise<Record<string, Record<string, number>>> {
  const tables = await sql<{ name: string; owner: string }[]>`
    select c.oid::regclass::text as name, o.attname as owner
    from pg_class as c
    join pg_attribute as s on s.attrelid = c.oid and s.attname = 'shard_key'
    join pg_attribute as o on o.attrelid = c.oid and o.attname in ('app_id', 'owner_id')
    where c.relkind in ('r', 'p') and not c.relispartition
    order by 1
  `;
  const counts: Record<string, Record<string, number>> = {};
  for (const { name, owner } of tables) {
    const rows = await sql.unsafe<{ key: number; rows: number }[]>(
      `select shard_key as key, count(*)::integer as rows from ${name} where ${owner} = $1 group by 1`,
      [appId],
    );
    counts[name] = Object.fromEntries(rows.map(({ key, rows: count }) => [String(key), count]));
  }
  return counts;
}

/** Something in each table of the data plane. */
async function live(appId: string, lenderId: string): Promise<void> {
  const owner = database.as("rate_limiter_owner");
  await gateway`select rate_limiter.consume(${appId}, 'read_small', 10)`;
  await gateway`select rate_limiter.consume(${appId}, 'read_small', 10, 'reference')`;
  await gateway`select rate_limiter.lease_tokens(${appId}, 10, 10)`;
  await gateway`select rate_limiter.charge_owed(${appId}, 1, 1, 'key')`;
  await owner`select rate_limiter_private.issue_api_key(${appId})`;
  await owner`
    select rate_limiter_internal.borrow_tokens_at(
      null, ${appId}, 'iops_l2', 1, interval '1 hour', ${lenderId}
    )
  `;
  await gateway`
    select rate_limiter.report_counts(
      ${appId}, ${sql.json([{ minute: new Date().toISOString(), reason: "iops_l2", operations: 1 }])}
    )
  `;
  await database.as("rate_limiter_worker")`select rate_limiter_private.fold_denials()`;
  await gateway`
    select rate_limiter.report_counts(
      ${appId}, ${sql.json([{ minute: new Date().toISOString(), reason: "iops_l1", operations: 1 }])}
    )
  `;
  const timestamp = new Date(Date.now() - 60_000).toISOString();
  await gateway`
    select rate_limiter.record_metrics(
      ${appId}, ${sql.json([{ timestamp, metric_name: "depth", value: 1 }])}
    )
  `;
  await gateway`
    select rate_limiter.record_iops_metrics(${appId}, ${sql.json([{ timestamp, read_ops: 1 }])})
  `;
  await gateway`
    select rate_limiter.record_bandwidth_metrics(
      ${appId}, ${sql.json([{ timestamp, bytes_read: 1 }])}
    )
  `;
  await database.as("rate_limiter_worker")`
    select rate_limiter_private.refresh_daily_quota_usage()
  `;
  await database.as("rate_limiter_worker")`select rate_limiter_private.aggregate_metrics('hour')`;
  await database.as("rate_limiter_worker")`
    select rate_limiter_private.aggregate_metrics('day', 500, now() + interval '24 hours')
  `;
  await sql`
    insert into rate_limiter.uncharged_counts
      (shard_key, app_id, minute, reason, operations, tokens, bytes)
    values (${await keyOf(appId)}, ${appId}, date_trunc('minute', now()), 'owed', 1, 1, 0)
  `;
  await sql`
    insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override)
    select o.operation_id, ${appId}, 2 from rate_limiter.operation_types as o where o.name = 'list'
  `;
  await sql`
    insert into rate_limiter_internal.lease_shares
      (shard_key, app_id, tenant_id, asked_at, tokens, bytes)
    select f.shard_key, f.app_id, f.tenant_id, now(), 1, 1
    from rate_limiter.app_facts as f
    where f.app_id = ${appId}
  `;
}

describe("the shard key of an application", () => {
  test("is that of its cluster, which no other cluster has", async () => {
    const [north, south] = [await cluster(), await cluster()];
    const apps = [
      await makeApplication(sql, { clusterId: north }),
      await makeApplication(sql, { clusterId: north }),
    ];
    const keys = await Promise.all([north, ...apps].map(keyOf));
    expect(new Set(keys).size).toBe(1);
    expect(await keyOf(south)).not.toBe(keys[0]);
  });

  test("is a number of its own where it has no cluster", async () => {
    const apps = [await makeApplication(sql), await makeApplication(sql), await cluster()];
    const keys = await Promise.all(apps.map(keyOf));
    expect(new Set(keys).size).toBe(3);
  });

  test("stays through every change but a move", async () => {
    const appId = await makeApplication(sql);
    const key = await keyOf(appId);
    await sql`
      update rate_limiter.applications
      set shard_key = shard_key + 1, is_active = false, tenant_id = ${await makeTenant(sql)}
      where app_id = ${appId}
    `;
    expect(await keyOf(appId)).toBe(key);
    const [row] = await sql`
      select shard_key as key from rate_limiter.applications where app_id = ${appId}
    `;
    expect(row?.key).toBe(key);
  });
});

test.each([
  ["to another cluster", true],
  ["off its cluster", false],
])("a move %s takes every row of the application along", async (_, hasCluster) => {
  const tenantId = await makeTenant(sql);
  const north = await cluster();
  const south = hasCluster ? await cluster() : null;
  const [appId, lenderId] = [
    await limitedApplication(sql, quota, { tenantId, clusterId: north }),
    await limitedApplication(sql, quota, { tenantId, clusterId: north }),
  ];
  await sql`
    insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops, reservation_seconds)
    values (${appId}, ${north}, 1, 1)
  `;
  await sql`select rate_limiter_internal.sync_reserves(${north})`;
  await live(appId, lenderId);
  const old = String(await keyOf(appId));
  const before = await rowsOf(appId);
  const withoutRows = Object.keys(before).filter((table) => before[table]?.[old] === undefined);
  expect(withoutRows).toEqual([]);

  await moveTo(south, appId)(sql);
  const now = String(await keyOf(appId));
  expect(now).not.toBe(old);
  if (south !== null) expect(now).toBe(String(await keyOf(south)));
  const after = await rowsOf(appId);
  for (const [table, counts] of Object.entries(before)) {
    const isShare = table.endsWith("lease_shares");
    expect(after[table]?.[old], table).toBeUndefined();
    if (!isShare) expect(after[table]?.[now], table).toBeGreaterThanOrEqual(Number(counts[old]));
  }
  const [charged] = await sql`
    select count(*)::integer as rows
    from (
      select charged from rate_limiter.charges
      union all
      select charged from rate_limiter.late_charges
      union all
      select charged from rate_limiter.token_leases
    ) as kept
    cross join lateral unnest(kept.charged) as c
    where c.owner_id = ${appId} and c.shard_key <> ${Number(now)}
  `;
  expect(charged?.rows).toBe(0);
  expect(await ledgerGaps(sql)).toEqual([]);
});

describe("while an application moves", () => {
  const calls: [string, (session: Sql, appId: string) => PromiseLike<unknown>][] = [
    [
      "a decision under a reference",
      (s, id) => s`select rate_limiter.consume(${id}, 'head', 0, 'new')`,
    ],
    ["a batch", (s, id) => s`select rate_limiter.consume_batch(${id}, array['head'], array[0])`],
    ["a lease", (s, id) => s`select rate_limiter.lease_tokens(${id}, 5, 5)`],
    ["a settlement", (s, id) => s`select rate_limiter.settle(${id}, 'old', 20)`],
    ["a refund", (s, id) => s`select rate_limiter.refund(${id}, 'old')`],
    ["an automatic loan", (s, id) => s`select rate_limiter.borrow_automatically(${id}, 1)`],
  ];

  test.each(calls)(
    "%s that began before is asked to ask again, and succeeds then",
    async (_, call) => {
      const [north, south] = [await cluster(), await cluster()];
      const appId = await limitedApplication(sql, quota, { clusterId: north });
      await sql`update rate_limiter.applications set auto_borrow = true where app_id = ${appId}`;
      await gateway`select rate_limiter.consume(${appId}, 'read_small', 10, 'old')`;
      const mover = await database.session("mover", "rate_limiter_owner");
      const caller = await database.session("caller", "rate_limiter_app");
      await mover.sql`begin`;
      await moveTo(south, appId)(mover.sql);
      const pending = caller.start((session) => Promise.resolve(call(session, appId)));
      const outcome = expectSqlState(pending, "QS409", "application has moved");
      await caller.waitsOnLock();
      await mover.sql`commit`;
      await outcome;
      await call(caller.sql, appId);
      expect(await ledgerGaps(sql)).toEqual([]);
    },
  );

  test("a plain decision waits, and is decided where the application is then", async () => {
    const [north, south] = [await cluster(), await cluster()];
    const appId = await limitedApplication(sql, quota, { clusterId: north });
    await gateway`select rate_limiter.consume(${appId}, 'read_small', 10)`;
    const mover = await database.session("mover", "rate_limiter_owner");
    const caller = await database.session("caller", "rate_limiter_app");
    await mover.sql`begin`;
    await moveTo(south, appId)(mover.sql);
    const pending = caller.start(
      (session) => session`select (rate_limiter.consume(${appId}, 'read_small', 10)).allowed`,
    );
    await caller.waitsOnLock();
    await mover.sql`commit`;
    expect((await pending)[0]?.allowed).toBe(true);
    const [row] = await sql`
      select count(*)::integer as rows, count(distinct shard_key)::integer as keys
      from rate_limiter.token_transactions
      where owner_id = ${appId} and bucket_type = 'iops_l2' and transaction_type = 'consume'
    `;
    expect({ ...row }).toEqual({ rows: 2, keys: 1 });
  });

  test.each([
    [
      "a decision under a reference",
      (s: Sql, id: string) => s`select rate_limiter.consume(${id}, 'head', 0, 'new')`,
    ],
    [
      "a late charge",
      (s: Sql, id: string) => s`select rate_limiter.charge_owed(${id}, 1, 1, 'late')`,
    ],
  ])("%s of one without quotas adds no row under its old key", async (_, call) => {
    const [north, south] = [await cluster(), await cluster()];
    const appId = await makeApplication(sql, { clusterId: north });
    const mover = await database.session("mover", "rate_limiter_owner");
    await mover.sql`begin`;
    await moveTo(south, appId)(mover.sql);
    await expectSqlState(call(gateway, appId), "QS409", "application has moved");
    await mover.sql`commit`;
    await call(gateway, appId);
    const keys = Object.values(await rowsOf(appId)).flatMap((counts) => Object.keys(counts));
    expect(new Set(keys)).toEqual(new Set([String(await keyOf(appId))]));
  });

  test("a key that is being changed is not waited for, and opens its application all the same", async () => {
    const [north, south] = [await cluster(), await cluster()];
    const appId = await limitedApplication(sql, quota, { clusterId: north });
    const [issued] = await sql`select * from rate_limiter_private.issue_api_key(${appId})`;
    const holder = await database.session("changing the key", "rate_limiter_owner");
    await holder.sql`begin`;
    await holder.sql`
      select from rate_limiter_private.api_keys where app_id = ${appId} for update
    `;
    await moveTo(south, appId)(sql);
    await holder.sql`commit`;
    const [stale] = await sql`
      select shard_key::text as key from rate_limiter_private.api_keys where app_id = ${appId}
    `;
    expect(stale?.key).not.toBe(String(await keyOf(appId)));
    const [row] = await gateway`
      select (rate_limiter.consume_with_key(${issued?.api_key}, 'head')).allowed
    `;
    expect(row?.allowed).toBe(true);
  });

  test("a settlement that has locked its lease is waited for without the buckets", async () => {
    const [north, south] = [await cluster(), await cluster()];
    const appId = await limitedApplication(sql, quota, { clusterId: north });
    await gateway`select rate_limiter.lease_tokens(${appId}, 5, 5)`;
    const settler = await database.session("settler", "rate_limiter_owner");
    const mover = await database.session("mover", "rate_limiter_owner");
    await settler.sql`begin`;
    await settler.sql`
      select from rate_limiter.token_leases where app_id = ${appId} for update
    `;
    const moved = mover.start(moveTo(south, appId));
    await mover.waitsOnLock();
    const [row] = await gateway`select (rate_limiter.consume(${appId}, 'head')).allowed`;
    expect(row?.allowed).toBe(true);
    await settler.sql`commit`;
    await moved;
    expect((await rowsOf(appId))["rate_limiter.token_leases"]).toEqual({
      [String(await keyOf(south))]: 1,
    });
  });

  test("a change of the list of operations waits, and its cost goes along", async () => {
    const [north, south] = [await cluster(), await cluster()];
    const appId = await makeApplication(sql, { clusterId: north });
    await sql`
      insert into rate_limiter.cost_rules (operation_id, app_id, c_base_override)
      select o.operation_id, ${appId}, 7 from rate_limiter.operation_types as o where o.name = 'head'
    `;
    const mover = await database.session("mover", "rate_limiter_owner");
    const operator = await database.session("operator", "rate_limiter_owner");
    await mover.sql`begin`;
    await moveTo(south, appId)(mover.sql);
    const changed = operator.start(
      (session) => session`
        update rate_limiter.operation_types set c_bw = c_bw + 1 where name = 'head'
      `,
    );
    await operator.waitsOnLock();
    await mover.sql`commit`;
    await changed;
    const costs = await sql`
      select shard_key as key, c_base::float8 as base from rate_limiter.app_costs
      where app_id = ${appId}
    `;
    expect([...costs]).toEqual([{ key: await keyOf(south), base: 7 }]);
  });

  test("samples wait, and are kept where the application is then", async () => {
    const [north, south] = [await cluster(), await cluster()];
    const appId = await makeApplication(sql, { clusterId: north });
    const mover = await database.session("mover", "rate_limiter_owner");
    const reporter = await database.session("reporter", "rate_limiter_app");
    await mover.sql`begin`;
    await moveTo(south, appId)(mover.sql);
    const timestamp = new Date().toISOString();
    const pending = reporter.start(
      (session) => session`
        select rate_limiter.record_metrics(
          ${appId}, ${session.json([{ timestamp, metric_name: "depth", value: 1 }])}
        )
      `,
    );
    await reporter.waitsOnLock();
    await mover.sql`commit`;
    await pending;
    expect((await rowsOf(appId))["rate_limiter.metrics"]).toEqual({
      [String(await keyOf(south))]: 1,
    });
  });
});
