import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { type Over, untilOver } from "../../harness/until-over.ts";
import { pair } from "../decisions/raced.ts";
import {
  epoch,
  ledgerGaps,
  limitedApplication,
  makeAdministrator,
  makeApplication,
  makeCluster,
  makeTenant,
  publish,
  setSetting,
} from "../world.ts";

/** In .ci/full more of them, as what is raced is a matter of luck. */
const fewestClusters = process.env.QOS_TEST_FULL ? 60 : 12;
const mostClusters = 120;
const quota = { iops: 400, burst: 1200, bytes: 400_000 };

const database = await createDatabase();
const { sql } = database;
// A deadlock is found sooner: else each would cost its second.
await sql.unsafe(`alter database ${database.name} set deadlock_timeout = '100ms'`);

const tenants = [await makeTenant(sql), await makeTenant(sql)];
const clusters = [await makeCluster(sql), await makeCluster(sql)];
const apps: string[] = [];
for (let index = 0; index < 12; index++) {
  const place = { tenantId: tenants[index % 2] ?? "", clusterId: clusters[index % 2] ?? "" };
  const own = [undefined, quota, { iops: quota.iops }, { bytes: quota.bytes }][index % 4];
  apps.push(
    own === undefined
      ? await makeApplication(sql, place)
      : await limitedApplication(sql, own, place),
  );
}
await sql`update rate_limiter.applications set auto_borrow = true`;
const administrator = await makeAdministrator(sql);

type Roll = (sides: number) => number;
type Row = Record<string, string>;

/** Numbers that look random and are the same in every run. */
function dice(seed: number): Roll {
  let state = seed * 2_654_435_761;
  return (sides) => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 374_761_393) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

const any = <T>(list: readonly T[], roll: Roll) => list[roll(list.length)] as T;

/** One of those that were made last: its first quota is being published, or has just been. */
const newCluster = (roll: Roll) => clusters[Math.max(0, clusters.length - 1 - roll(3))] as string;

/** Failures that are no answers of the product, and how often each kind of call succeeded. */
const failures: Record<string, number> = {};
const successes: Record<string, number> = {};

async function call<T extends object>(kind: string, query: PromiseLike<T[]>): Promise<T[]> {
  try {
    const rows = await query;
    count(successes, kind);
    return rows;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (!code?.startsWith("QS")) count(failures, `${kind}: ${code} ${message}`);
    return [];
  }
}

function count(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

type Work = (sql: Sql, roll: Roll) => Promise<unknown>;

const moveInSql: Work = (s, roll) =>
  call(
    "a move in SQL",
    s`
      update rate_limiter.applications
      set cluster_id = ${newCluster(roll)}
      where app_id = ${any(apps, roll)}
    `,
  );

const deactivateTenant: Work = async (s, roll) => {
  const tenantId = any(tenants, roll);
  for (const isActive of [false, true]) {
    await call(
      "a tenant's activity",
      s`update rate_limiter.tenants set is_active = ${isActive} where tenant_id = ${tenantId}`,
    );
  }
};

const administration: Work[] = [
  (s, roll) =>
    call(
      "a move",
      s`select rate_limiter_admin.move_application(${any(apps, roll)}, ${newCluster(roll)})`,
    ),
  async (s, roll) => {
    const rows = await call<Row>(
      "a new application",
      s`
        select app_id from rate_limiter_admin.create_application(
          gen_random_uuid()::text, ${newCluster(roll)}, tenant_id => ${any(tenants, roll)}
        )
      `,
    );
    apps.push(...rows.map((row) => row.app_id ?? ""));
  },
  (s, roll) => {
    const owner = roll(3);
    return call(
      "a quota",
      s`
        select rate_limiter_admin.publish_quota(
          'test',
          app_id => ${owner === 0 ? any(apps, roll) : null},
          cluster_id => ${owner === 1 ? newCluster(roll) : null},
          default_cluster_id => ${owner === 2 ? newCluster(roll) : null},
          iops => row(400, 1200, 1, 400, 'token_bucket', 0),
          bandwidth => row(400000, 1200000, 1, 400000, true),
          mode => ${owner < 2 && roll(4) === 0 ? "shadow" : "enforce"}
        )
      `,
    );
  },
  (s, roll) =>
    call(
      "a reservation",
      roll(3) === 0
        ? s`select rate_limiter_admin.remove_reservation(${any(apps, roll)}, 'test')`
        : s`
            select rate_limiter_admin.set_reservation(
              ${any(apps, roll)}, 'test', ${1 + roll(9)}, ${1 + roll(9000)}
            )
          `,
    ),
  (s, roll) =>
    call(
      "a ceiling",
      s`
        select rate_limiter_admin.set_tenant_ceiling(
          ${any(tenants, roll)}, 'test', iops => row(1000000, 3000000, 3000000),
          remove_bandwidth => true
        )
      `,
    ),
  async (s, roll) => {
    const [found] = await call<Row>(
      "a suspension",
      s`select * from rate_limiter_admin.suspend_application(${any(apps, roll)}, 'test')`,
    );
    if (found?.suspension_id === undefined) return;
    await call(
      "a suspension's end",
      s`select rate_limiter_admin.lift_suspension(${found.suspension_id}, 'test')`,
    );
  },
  async (s, roll) => {
    const appId = any(apps, roll);
    for (const isActive of [false, true]) {
      await call(
        "an application's activity",
        s`update rate_limiter.applications set is_active = ${isActive} where app_id = ${appId}`,
      );
    }
  },
  async (s, roll) => {
    const [found] = await s<Row[]>`
      select c.config_id
      from rate_limiter.quota_configs as c
      where c.is_active and c.valid_to is null
      order by c.config_id
      offset ${roll(8)} limit 1
    `;
    await call(
      "a cancelling",
      s`select rate_limiter_admin.cancel_quota(${found?.config_id ?? null}, 'test')`,
    );
  },
  async (s, roll) => {
    const [found] = await s<Row[]>`
      select v.version_id
      from rate_limiter_audit.quota_version_history as v
      order by v.version_id
      offset ${roll(8)} limit 1
    `;
    await call(
      "a rollback",
      s`select rate_limiter_admin.rollback_quota(${found?.version_id ?? null}, 'test')`,
    );
  },
  async (s, roll) => {
    const lender = roll(2) === 0 ? any(apps, roll) : null;
    const [loan] = await call<Row>(
      "a loan",
      s`
        select * from rate_limiter_admin.borrow_tokens(
          ${any(apps, roll)}, 'iops_l2', ${1 + roll(20)}, '1 s', ${lender}
        )
      `,
    );
    if (loan?.owner_id === undefined || loan.borrowing_id === undefined) return;
    await call(
      "a repayment",
      s`select rate_limiter_admin.repay_borrowing(${loan.owner_id}, ${loan.borrowing_id})`,
    );
  },
];

const jobs: Work[] = [
  (s) =>
    call(
      "collected loans",
      s`select rate_limiter_private.collect_borrowings(clock_timestamp(), 20)`,
    ),
  (s) =>
    call("expired leases", s`select rate_limiter_private.expire_leases(clock_timestamp(), 20)`),
];

const decisions: Work[] = [
  (s, roll) =>
    call(
      "a decision",
      s`select rate_limiter.consume(${any(apps, roll)}, 'read_small', ${roll(3) * 1500})`,
    ),
  async (s, roll) => {
    const appId = any(apps, roll);
    const reference = `r${roll(1000)}`;
    await call(
      "an operation",
      s`select rate_limiter.consume(${appId}, 'read_small', 1000, ${reference})`,
    );
    await call(
      "a settlement",
      roll(2) === 0
        ? s`select rate_limiter.settle(${appId}, ${reference}, 2000)`
        : s`select rate_limiter.refund(${appId}, ${reference})`,
    );
  },
  (s, roll) =>
    call(
      "a batch",
      s`
        select rate_limiter.consume_batch(
          ${any(apps, roll)}, array['head', 'list', 'read_small'], array[10, 0, 2000]::bigint[]
        )
      `,
    ),
  (s, roll) =>
    call(
      "many decisions",
      s`
        select rate_limiter.consume_many(
          ${[any(apps, roll), any(apps, roll), any(apps, roll)]}::uuid[],
          array['head', 'list', 'read_small'], array[10, 0, 2000]::bigint[]
        )
      `,
    ),
  async (s, roll) => {
    const appId = any(apps, roll);
    const [lease] = await call<Row>(
      "a lease",
      s`select * from rate_limiter.lease_tokens(${appId}, 10, 1000, '1 s')`,
    );
    if (!lease?.lease_id) return;
    const [next] = await call<Row>(
      "a renewal",
      s`select * from rate_limiter.renew_lease(${appId}, ${lease.lease_id}, 0, 0, 10, 1000)`,
    );
    if (!next?.lease_id) return;
    await call(
      "a lease's end",
      s`select rate_limiter.settle_lease(${appId}, ${next.lease_id}, 0, 0)`,
    );
  },
  (s, roll) =>
    call("an automatic loan", s`select rate_limiter.borrow_automatically(${any(apps, roll)}, 5)`),
];

const kinds = [
  ...["a move in SQL", "a tenant's activity", "a first quota", "collected loans", "expired leases"],
  ...["a reservation", "a ceiling", "a suspension", "a suspension's end"],
  ...[
    "an application's activity",
    "a move",
    "a new application",
    "a quota",
    "a cancelling",
    "a rollback",
    "a loan",
  ],
  ...["a decision", "an operation", "a settlement", "a batch", "many decisions", "a lease"],
  ...["a renewal", "a lease's end", "an automatic loan"],
];

/** Calls of these kinds, one after the other, on a connection of their own. */
async function repeat(
  calling: Over,
  seed: number,
  role: "owner" | "visitor" | "app" | "worker",
  work: readonly Work[],
): Promise<void> {
  const session = await database.session(`${role} ${seed}`, `rate_limiter_${role}`);
  if (role === "visitor") {
    await session.sql`select set_config('rate_limiter.user_id', ${administrator}, false)`;
  }
  const roll = dice(seed);
  while (!calling.isOver) await any(work, roll)(session.sql, roll);
}

const everyKindSucceeded = () => kinds.every((kind) => kind in successes);

/** Makes clusters, and publishes the first quota of each while applications move there. */
async function publishFirst(calling: Over): Promise<void> {
  const session = await database.session("first quotas", "rate_limiter_owner");
  const isEnough = (made: number) =>
    made === mostClusters || (made >= fewestClusters && everyKindSucceeded());
  for (let made = 0; !isEnough(made); made++) {
    const clusterId = await makeCluster(session.sql);
    clusters.push(clusterId);
    await session.sql`select pg_sleep(0.02)`;
    const [row] = await session.sql`select clock_timestamp() as now`;
    const published = publish(session.sql, { clusterId }, quota, row?.now);
    await call(
      "a first quota",
      published.then(() => []),
    );
  }
  calling.end();
}

describe("changes of where applications are and of what limits them, and decisions meanwhile", () => {
  test("end in no deadlock and in no failed serialization", async () => {
    const calling = untilOver();
    await Promise.all([
      publishFirst(calling),
      repeat(calling, 1, "owner", [moveInSql]),
      repeat(calling, 2, "owner", [moveInSql]),
      repeat(calling, 3, "owner", [deactivateTenant]),
      repeat(calling, 4, "owner", [deactivateTenant]),
      repeat(calling, 5, "visitor", administration),
      repeat(calling, 6, "visitor", administration),
      repeat(calling, 7, "visitor", administration),
      repeat(calling, 8, "worker", jobs),
      ...Array.from({ length: 5 }, (_, number) => repeat(calling, 20 + number, "app", decisions)),
    ]);
    expect(failures).toEqual({});
    expect(Object.keys(successes)).toEqual(expect.arrayContaining(kinds));
  }, 120_000);

  test("leave each application with what its cluster and its tenant have", async () => {
    const odd = await sql`
      select a.app_id, f.draws_iops, f.tenant_is_active
      from rate_limiter.applications as a
      join rate_limiter.tenants as t using (tenant_id)
      left join rate_limiter.app_facts as f using (app_id)
      where (f.tenant_id, f.is_active, f.tenant_is_active)
          is distinct from (a.tenant_id, a.is_active, t.is_active)
        or f.cluster_id is distinct from a.cluster_id
        or not f.draws_iops
          and exists (
            select
            from rate_limiter.quota_configs as c
            join rate_limiter.iops_quotas as q using (config_id)
            where c.cluster_id = a.cluster_id
              and c.mode = 'enforce'
              and c.is_active
              and c.valid_to is null
          )
    `;
    expect([...odd]).toEqual([]);
  });

  test("leave each cluster with the headroom of the reservations on it", async () => {
    const odd = await sql`
      select b.owner_id, b.headroom, r.headroom
      from rate_limiter.token_buckets as b
      left join (
        select f.cluster_id, sum(r.reserved_iops * r.reservation_seconds) as headroom
        from rate_limiter.reservations as r
        join rate_limiter.app_facts as f using (app_id, cluster_id)
        where f.is_active and f.tenant_is_active
        group by f.cluster_id
      ) as r on r.cluster_id = b.owner_id
      where b.bucket_type = 'iops_l1'
        and b.mode = 'enforce'
        and coalesce(b.headroom, 0) <> coalesce(r.headroom, 0)
    `;
    expect([...odd]).toEqual([]);
  });

  test("leave a ledger without gaps", async () => {
    expect(await ledgerGaps(sql)).toEqual([]);
  });
});

describe("what waits", () => {
  const lock = (s: Sql, table: string, key: string, id: string) => s`
    select from rate_limiter.${s(table)} where ${s(key)} = ${id} for update nowait
  `;

  test("a move waits for a quota of a cluster before it locks its application", async () => {
    const clusterId = await makeCluster(sql);
    const appId = await makeApplication(sql);
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await publish(first.sql, { clusterId }, quota);
    const pending = second.start(
      (s) => s`
        update rate_limiter.applications set cluster_id = ${clusterId} where app_id = ${appId}
      `,
    );
    await second.waitsOnLock();
    await lock(first.sql, "applications", "app_id", appId);
    await first.sql`commit`;
    await pending;
    const [row] = await sql`
      select draws_iops and draws_bandwidth as draws
      from rate_limiter.app_facts
      where app_id = ${appId}
    `;
    expect(row?.draws).toBe(true);
  });

  test("a quota of a cluster waits for a move, and finds the application", async () => {
    const clusterId = await makeCluster(sql);
    const appId = await makeApplication(sql);
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await first.sql`
      update rate_limiter.applications set cluster_id = ${clusterId} where app_id = ${appId}
    `;
    const pending = second.start((s) => publish(s, { clusterId }, quota));
    await second.waitsOnLock();
    await lock(first.sql, "clusters", "cluster_id", clusterId);
    await first.sql`commit`;
    await pending;
    const [row] = await sql`
      select draws_iops and draws_bandwidth as draws
      from rate_limiter.app_facts
      where app_id = ${appId}
    `;
    expect(row?.draws).toBe(true);
  });

  test("no login keeps applications from being placed", async () => {
    const [from, to] = [await makeCluster(sql), await makeCluster(sql)];
    const appId = await makeApplication(sql, { clusterId: from });
    const roles = [
      "rate_limiter_visitor",
      "rate_limiter_app",
      "rate_limiter_readonly",
      "rate_limiter_worker",
    ] as const;
    for (const role of roles) {
      for (const mode of ["access share", "share", "exclusive"]) {
        const locking = database.withTransaction(role, {}, (caller) =>
          caller.unsafe(`lock table rate_limiter_internal.placement in ${mode} mode`),
        );
        await expectSqlState(locking, "42501");
      }
      await expectSqlState(
        database.as(role)`select rate_limiter_internal.lock_placement(true)`,
        "42501",
      );
    }

    // Locks that every login may take are none of ours: nothing waits for them.
    const holder = await database.session("holding", "rate_limiter_visitor");
    await holder.sql`begin`;
    await holder.sql`select pg_advisory_xact_lock(hashtext('rate_limiter_placement'))`;
    const [own] = await holder.sql`select pg_backend_pid() as pid`;
    const mover = await database.session("moving");
    await mover.sql`set lock_timeout = '2s'`;
    await mover.sql`
      update rate_limiter.applications set cluster_id = ${to} where app_id = ${appId}
    `;
    await publish(sql, { clusterId: to }, quota);
    const [held] = await sql`
      select count(*)::integer as count from pg_locks as l
      join pg_stat_activity as a on a.pid = l.pid
      where l.locktype = 'advisory' and a.datname = current_database() and l.pid <> ${own?.pid}
    `;
    expect(held?.count).toBe(0);
    await holder.sql`rollback`;
  });

  test("a cluster's deletion waits for a quota of it before it locks the cluster", async () => {
    const clusterId = await makeCluster(sql);
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await first.sql`select rate_limiter_internal.lock_placement(false)`;
    const pending = second.start(
      (s) => s`delete from rate_limiter.clusters where cluster_id = ${clusterId}`,
    );
    await second.waitsOnLock();
    await lock(first.sql, "clusters", "cluster_id", clusterId);
    await first.sql`commit`;
    await pending;
  });

  test.each([
    ["a tenant's deactivation", "tenant"],
    ["a quota of a cluster", "cluster"],
  ])("%s locks applications in the order of their ids", async (_, kind) => {
    const tenantId = await makeTenant(sql);
    const clusterId = await makeCluster(sql);
    const place = { tenantId, clusterId };
    const made = await Promise.all(Array.from({ length: 8 }, () => makeApplication(sql, place)));
    const [lowest = "", ...others] = made.sort();
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await lock(first.sql, "applications", "app_id", lowest);
    const pending = second.start<unknown>((s) =>
      kind === "tenant"
        ? s`update rate_limiter.tenants set is_active = false where tenant_id = ${tenantId}`
        : publish(s, { clusterId }, quota),
    );
    await second.waitsOnLock();
    for (const other of others) await lock(first.sql, "applications", "app_id", other);
    await first.sql`commit`;
    await pending;
  });

  test("a quota of a cluster locks its applications before its buckets", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, quota);
    const appId = await makeApplication(sql, { clusterId });
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await lock(first.sql, "applications", "app_id", appId);
    const [row] = await sql`select clock_timestamp() as now`;
    const pending = second.start((s) => publish(s, { clusterId }, { iops: 10 }, row?.now));
    await second.waitsOnLock();
    await lock(first.sql, "token_buckets", "owner_id", clusterId);
    await first.sql`commit`;
    await pending;
  });

  test.each([
    ["charge_owed()", "owed"],
    ["charge_owed_many()", "owed, many"],
    ["a renewal of a lease that is unknown", "owed with a lease"],
  ])("%s and an exchange lock a bucket before the key that they share", async (_, kind) => {
    const appId = await limitedApplication(sql, quota);
    const leaseId = "00000000-0000-4000-8000-000000000017";
    const key = `lease ${leaseId}`;
    const charges: Record<string, (s: Sql) => PromiseLike<unknown>> = {
      owed: (s) => s`select rate_limiter.charge_owed(${appId}, 70, 0, ${key})`,
      "owed, many": (s) => s`
        select rate_limiter.charge_owed_many(
          array[${appId}]::uuid[], '{70}', '{0}', array[${key}]::text[]
        )
      `,
      "owed with a lease": (s) => s`
        select rate_limiter.renew_lease(
          ${appId}, ${leaseId}, 0, 0, 0, 0, owed_tokens => 70::numeric
        )
      `,
    };
    const holder = await database.session("holding the bucket");
    const [first, second] = await pair(database);
    await holder.sql`begin`;
    await lock(holder.sql, "token_buckets", "owner_id", appId);
    const exchanged = first.start(
      (s) => s`
        select rate_limiter.exchange_leases(
          '[]', '[]', ${s.json([{ app_id: appId, tokens: "70", bytes: "0", key }])}
        )
      `,
    );
    await first.waitsOnLock();
    const charged = second.start((s) => charges[kind]?.(s) ?? s`select`);
    await second.waitsOnLock();
    await holder.sql`commit`;
    // Whichever has the bucket then has the key next, and is waited for by the other.
    expect(await Promise.allSettled([exchanged, charged])).toEqual([
      expect.objectContaining({ status: "fulfilled" }),
      expect.objectContaining({ status: "fulfilled" }),
    ]);
    const [row] = await sql`
      select sum(tokens_change)::float8 as charged from rate_limiter.token_transactions
      where owner_id = ${appId} and transaction_type = 'owed'
    `;
    expect(row?.charged).toBe(-70);
  });

  test("a decision that lost layer 1 to a change of quota waits for nothing of layer 2", async () => {
    await setSetting(sql, "layer1_prefetch_ms", 0);
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, { iops: 3000 });
    const appId = await limitedApplication(sql, { bytes: 4_000_000 }, { clusterId });
    const consume = (size: number) => (s: Sql) =>
      s`select (rate_limiter.consume(${appId}, 'head', ${size})).allowed`;
    await consume(1)(database.as("rate_limiter_app"));
    const [first, second] = await pair(database);
    const third = await database.session("third", "rate_limiter_owner");
    await first.sql`begin`;
    const [row] = await first.sql`select clock_timestamp() as now`;
    await publish(first.sql, { clusterId }, { iops: 2000 }, row?.now);
    // It has nothing of layer 2, as its size is 0, and is first to have layer 1.
    const pending = second.start(consume(0));
    await second.waitsOnLock();
    // It has layer 2, and waits for layer 1.
    const other = third.start(consume(100));
    await third.waitsOnLock();
    await first.sql`commit`;
    expect([...(await pending), ...(await other)]).toEqual([{ allowed: true }, { allowed: true }]);
  });

  test("a row of quotas that is written by hand locks in the same order", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, quota);
    const appId = await makeApplication(sql, { clusterId });
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await lock(first.sql, "applications", "app_id", appId);
    const pending = second.start(
      (s) => s`
        update rate_limiter.quota_configs
        set valid_to = ${epoch}::timestamptz + interval '1 day'
        where cluster_id = ${clusterId}
      `,
    );
    await second.waitsOnLock();
    await lock(first.sql, "token_buckets", "owner_id", clusterId);
    await first.sql`commit`;
    await pending;
  });

  test("a tenant's deactivation locks layer 1 of tokens before that of bytes", async () => {
    const tenantId = await makeTenant(sql);
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, quota);
    const place = { tenantId, clusterId };
    const [leasing, reserving] = [
      await makeApplication(sql, place),
      await makeApplication(sql, place),
    ];
    const operator = await database.session("operator", "rate_limiter_visitor");
    await operator.sql`select set_config('rate_limiter.user_id', ${administrator}, false)`;
    await operator.sql`
      select rate_limiter_admin.set_reservation(${reserving}, 'test', 10, 1000)
    `;
    await database.as("rate_limiter_app")`
      select rate_limiter.lease_tokens(${leasing}, 0, 1000)
    `;
    const layer1 = (s: Sql, type: string) => s`
      select from rate_limiter.token_buckets
      where owner_id = ${clusterId} and bucket_type = ${type}
      for update nowait
    `;
    const [first, second] = await pair(database);
    await first.sql`begin`;
    await layer1(first.sql, "iops_l1");
    const pending = second.start(
      (s) => s`update rate_limiter.tenants set is_active = false where tenant_id = ${tenantId}`,
    );
    await second.waitsOnLock();
    await layer1(first.sql, "bandwidth_l1");
    await first.sql`commit`;
    await pending;
  });
});
