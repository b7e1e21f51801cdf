import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase, expectSqlState, type Session } from "../../harness/index.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeApplication,
  makeCluster,
  makeTenant,
  moment,
  publish,
  type Quota,
  setSetting,
} from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const owner = database.as("rate_limiter_owner");
const observer = await database.session("observer");
const holder = await database.session("holder");

const plenty = { iops: 100_000, burst: 1_000_000, bytes: 1_000_000_000 };
/** It can give a late charge 120 of 240, and of what is left a second's part of each tenant. */
const scarce = { iops: 120, burst: 240, bytes: 1200, oversize: true };

async function clusterOf(quota: Quota): Promise<string> {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, quota);
  await makeApplication(sql, { clusterId });
  return clusterId;
}

async function workOf(): Promise<{ statements: number; changes: number }> {
  const [row] = await observer.sql`
    select
      coalesce(sum(s.calls), 0)::integer as statements,
      -- Of statements that write themselves: others have the changes of those within them, too.
      coalesce(sum(s.wal_records) filter (
        where s.query ~* '^\\s*(insert|update|delete|with)'
      ), 0)::integer as changes
    from pg_stat_statements as s
    join pg_database as d on d.oid = s.dbid
    where not s.toplevel and d.datname = current_database()
  `;
  return { statements: row?.statements, changes: row?.changes };
}

/** What a call does from when it waits for the first layer-1 bucket of a cluster to its end. */
async function whileLayer1IsLocked(
  session: Session,
  clusterId: string,
  call: (sql: Sql) => PromiseLike<unknown>,
) {
  await holder.sql`begin`;
  await holder.sql`
    select from rate_limiter.token_buckets where owner_id = ${clusterId} for update
  `;
  const calling = session.start(call);
  await session.waitsOnLock();
  const before = await workOf();
  await holder.sql`commit`;
  await calling;
  const after = await workOf();
  return {
    statements: after.statements - before.statements,
    changes: after.changes - before.changes,
  };
}

async function counted(name: string): Promise<Session> {
  const session = await database.session(name);
  await session.sql`set pg_stat_statements.track = 'all'`;
  return session;
}

const charges = (appIds: readonly string[], count: number, name: string) => (s: Sql) =>
  s`
  select rate_limiter.charge_owed_many(
    array(select (${appIds}::uuid[])[i % ${appIds.length} + 1] from generate_series(1, ${count}::integer) as i),
    array_fill(3::numeric, array[${count}::integer]), array_fill(5::numeric, array[${count}::integer]),
    array(select ${name} || i from generate_series(1, ${count}::integer) as i)
  )
`;

test.each([
  ["gives all of it", plenty],
  ["gives a part of it", scarce],
])("charges of one application lock a layer 1 that %s as one charge does", async (_, quota) => {
  const clusterId = await clusterOf(quota);
  const appId = await limitedApplication(sql, { iops: 1000, bytes: 10_000 }, { clusterId });
  const session = await counted(`charges of ${quota.iops}`);
  await charges([appId], 4, "warm")(session.sql);
  const few = await whileLayer1IsLocked(session, clusterId, charges([appId], 4, "few"));
  const many = await whileLayer1IsLocked(session, clusterId, charges([appId], 250, "many"));
  expect(few.statements).toBeGreaterThan(0);
  expect(many.statements).toBeLessThanOrEqual(few.statements + 10);
  expect(many.statements).toBeLessThan(100);
  expect(await ledgerGaps(sql)).toEqual([]);
});

interface Owed {
  readonly appId: string;
  readonly tokens: number;
  readonly bytes: number;
  readonly key: string;
}

const together = (entries: readonly Owed[], at: number) => (s: Sql) =>
  s`
  select rate_limiter_internal.charge_owed_many_at(
    array(
      select row(
        rate_limiter_internal.app_shard_key(c.app_id), c.app_id, c.tokens, c.bytes, c.key
      )::rate_limiter_internal.owed_charge
      from unnest(
        ${entries.map((entry) => entry.appId)}::uuid[],
        ${entries.map((entry) => entry.tokens)}::numeric[],
        ${entries.map((entry) => entry.bytes)}::numeric[],
        ${entries.map((entry) => entry.key)}::text[]
      ) as c (app_id, tokens, bytes, key)
    ),
    ${moment(at)}
  )
`;

const oneByOne = (entries: readonly Owed[], at: number) => async (s: Sql) => {
  // In the order in which a call with many of them charges layer 1.
  const sorted = await s<Owed[]>`
    select e.app_id as "appId", e.tokens, e.bytes, e.key
    from unnest(
      ${entries.map((entry) => entry.appId)}::uuid[],
      ${entries.map((entry) => entry.tokens)}::integer[],
      ${entries.map((entry) => entry.bytes)}::integer[], ${entries.map((entry) => entry.key)}::text[]
    ) as e (app_id, tokens, bytes, key)
    join rate_limiter.app_facts as f using (app_id)
    order by f.tenant_id, e.app_id, e.key
  `;
  for (const { appId, tokens, bytes, key } of sorted) {
    await s`
      select rate_limiter_internal.charge_owed_at(
        rate_limiter_internal.app_shard_key(${appId}),
        ${moment(at)}, ${appId}, ${tokens}, ${bytes}, ${key}
      )
    `;
  }
};

/** What calls leave behind, and then nothing of it. */
async function outcomeOf(calls: (sql: Sql) => Promise<unknown>): Promise<unknown> {
  const { sql: s } = observer;
  await owner`select`;
  await s`begin`;
  await calls(s);
  const [row] = await s`
    select
      (
        select jsonb_agg(array[b.owner_id::text, b.bucket_type::text, b.current_tokens::text]
          order by b.owner_id, b.bucket_type)
        from rate_limiter.token_buckets as b
      ) as buckets,
      (
        select jsonb_agg(to_jsonb(c) order by c.app_id, c.idempotency_key)
        from rate_limiter.late_charges as c
      ) as charges,
      (select jsonb_agg(to_jsonb(u) order by u.app_id) from rate_limiter.uncharged_counts as u)
        as uncharged,
      (
        select jsonb_agg(to_jsonb(s) order by s.tenant_id, s.bucket_type)
        from rate_limiter_internal.late_shares as s
      ) as shares,
      (select count(*)::integer from rate_limiter.verify_ledger()) as gaps
  `;
  await s`rollback`;
  return { ...row };
}

test("charges in one call come to what they come to one after the other", async () => {
  const clusterId = await clusterOf(scarce);
  const tenants = [await makeTenant(sql), await makeTenant(sql)];
  const apps: string[] = [];
  for (let index = 0; index < 6; index++) {
    const place = { clusterId, tenantId: tenants[index % 2] ?? "" };
    apps.push(
      index < 3
        ? await makeApplication(sql, place)
        : await limitedApplication(sql, { iops: 10, bytes: 100, oversize: true }, place),
    );
  }
  await sql`
    insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops, reserved_bps)
    select a, ${clusterId}, 10, 100 from unnest(${apps.slice(2, 4)}::uuid[]) as a
  `;
  await sql`select rate_limiter_internal.sync_reserves_at(${moment(0)}, ${clusterId})`;
  for (let run = 0; run < 12; run++) {
    const at = 1 + (run % 5) / 4;
    const count = 1 + (run % 13);
    const entries = Array.from({ length: count }, (_, index) => ({
      appId: apps[(run * 7 + index * 5 + ((index * run) % 3)) % apps.length] ?? "",
      tokens: (run * 31 + index * 17) % (run % 4 === 0 ? 20 : 90),
      bytes: (run * 53 + index * 29) % (run % 3 === 0 ? 90 : 700),
      key: `${index}`,
    }));
    const again = entries.map((entry) => ({ ...entry, key: `again ${entry.key}` }));
    expect(
      await outcomeOf(async (s) => {
        await together(entries, at)(s);
        await together(again, at + 0.25)(s);
      }),
      `run ${run}`,
    ).toEqual(
      await outcomeOf(async (s) => {
        await oneByOne(entries, at)(s);
        await oneByOne(again, at + 0.25)(s);
      }),
    );
  }
});

test("what was announced and not used goes back in the same call, too", async () => {
  const clusterId = await clusterOf(plenty);
  const appId = await limitedApplication(sql, { iops: 1000, bytes: 10_000 }, { clusterId });
  const owed = (tokens: number, key: string) => ({ appId, tokens, bytes: 0, key });
  const changed = async (entries: readonly Owed[]) => {
    const [row] = await together(entries, 1)(owner);
    return Object.values(row ?? {})[0];
  };
  expect(await changed([owed(100, "a"), owed(30, "a"), owed(30, "a"), owed(7, "b")])).toEqual([
    true,
    true,
    false,
    true,
  ]);
  expect(await changed([owed(50, "a"), owed(10, "a"), owed(2, "b"), owed(2, "c")])).toEqual([
    false,
    true,
    true,
    true,
  ]);
  const [row] = await sql`
    select
      (select 1000 - current_tokens from rate_limiter.token_buckets
        where owner_id = ${appId} and bucket_type = 'iops_l2')::float8 as app,
      (select 1000000 - current_tokens from rate_limiter.token_buckets
        where owner_id = ${clusterId} and bucket_type = 'iops_l1')::float8 as cluster,
      (select sum(u.tokens) from rate_limiter.late_charges as c, unnest(c.charged) as u
        where c.app_id = ${appId} and u.owner_id = ${clusterId})::float8 as charged
  `;
  expect({ ...row }).toEqual({ app: 14, cluster: 14, charged: 14 });
});

const appsOf = async (clusterId: string, count: number) => {
  const made: string[] = [];
  for (let index = 0; index < count; index++) {
    made.push(await limitedApplication(sql, { iops: 1000, bytes: 10_000 }, { clusterId }));
  }
  return made;
};

interface Answer {
  readonly app_id: string;
  readonly lease_id?: string;
  readonly tokens?: string;
  readonly is_busy?: boolean;
}

async function exchange(
  s: Sql,
  renewals: readonly object[],
  settlements: readonly object[] = [],
): Promise<Answer[]> {
  const [row] = await s`
    select rate_limiter.exchange_leases(
      ${JSON.stringify(renewals)}::text::jsonb, ${JSON.stringify(settlements)}::text::jsonb, '[]',
      '1 hour'
    ) as answers
  `;
  return row?.answers;
}

const wanted = (appId: string, lease?: Answer) => ({
  app_id: appId,
  tokens: "10",
  bytes: "100",
  ...(lease?.lease_id && { lease_id: lease.lease_id, spent_tokens: "4", spent_bytes: "40" }),
});

test("an exchange of many leases locks layer 1 as one of a few does", async () => {
  const clusterId = await clusterOf(plenty);
  const apps = await appsOf(clusterId, 40);
  const session = await counted("exchanges");
  let leases = await exchange(
    session.sql,
    apps.map((appId) => wanted(appId)),
  );
  const renewing = (count: number) => async (s: Sql) => {
    const renewed = await exchange(
      s,
      apps.slice(0, count).map((appId, index) => wanted(appId, leases[index])),
    );
    expect(renewed.filter((answer) => answer.tokens === "10").length).toBe(count);
    leases = [...renewed, ...leases.slice(count)];
  };
  await renewing(2)(session.sql);
  const few = await whileLayer1IsLocked(session, clusterId, renewing(2));
  const many = await whileLayer1IsLocked(session, clusterId, renewing(40));
  expect(many.statements).toBeLessThanOrEqual(few.statements + 10);
  const settling = await whileLayer1IsLocked(session, clusterId, (s) =>
    exchange(
      s,
      [],
      apps.map((appId, index) => ({ ...wanted(appId, leases[index]) })),
    ),
  );
  expect(settling.statements).toBeLessThanOrEqual(few.statements + 10);
  const [row] = await sql`
    select leased from rate_limiter.token_buckets
    where owner_id = ${clusterId} and bucket_type = 'iops_l1'
  `;
  expect(row?.leased).toBeNull();
  expect(await ledgerGaps(sql)).toEqual([]);
});

test("an exchange renews a few leases of a short layer 1, and the others come alone", async () => {
  const clusterId = await clusterOf({ iops: 1, burst: 240, bytes: 10_000, oversize: false });
  const apps = await appsOf(clusterId, 40);
  const answers = await exchange(
    owner,
    apps.map((appId) => wanted(appId)),
  );
  expect(answers.map(({ app_id }) => app_id)).toEqual(apps);
  expect(answers.map(({ is_busy }) => is_busy === true)).toEqual(
    apps.map((_, index) => index >= 16),
  );
  const granted = answers.slice(0, 16).map(({ tokens }) => Number(tokens));
  expect(granted.slice(0, 10)).toEqual(Array(10).fill(10));
});

const batch = (appId: string, count: number, name: string) => (s: Sql) =>
  s`
  select d.allowed, d.reason
  from rate_limiter.consume_batch(
    ${appId}, array_fill('head'::text, array[${count}::integer]),
    array_fill(1::bigint, array[${count}::integer]),
    array(select ${name} || i from generate_series(1, ${count}::integer) as i)
  ) as d
`;

test("a batch under references locks layer 1 when it has written all else", async () => {
  const clusterId = await clusterOf(plenty);
  const appId = await limitedApplication(sql, { iops: 5000, bytes: 10_000 }, { clusterId });
  const session = await counted("batches");
  await batch(appId, 2, "warm")(session.sql);
  const few = await whileLayer1IsLocked(session, clusterId, batch(appId, 2, "few"));
  const many = await whileLayer1IsLocked(session, clusterId, batch(appId, 1000, "many"));
  expect(many.statements).toBeLessThanOrEqual(few.statements + 5);
  expect(many.changes).toBeLessThanOrEqual(few.changes + 20);
  const [row] = await sql`
    select count(*)::integer as charges from rate_limiter.charges where app_id = ${appId}
  `;
  expect(row?.charges).toBe(1004);
  expect(await ledgerGaps(sql)).toEqual([]);
});

test("a batch of 10,000 under references is refused before it looks at layer 1", async () => {
  const clusterId = await clusterOf(plenty);
  const appId = await limitedApplication(sql, { iops: 5000, bytes: 10_000 }, { clusterId });
  await holder.sql`begin`;
  await holder.sql`
    select from rate_limiter.token_buckets where owner_id in (${appId}, ${clusterId}) for update
  `;
  // While another session holds every bucket that it would draw on.
  const refused = batch(appId, 10_000, "refused")(owner);
  await expectSqlState(refused, "QS422", "batch is not of 1 to 1000 operations");
  await holder.sql`commit`;
});

test("a batch that finds less in layer 1 than it saw is decided by what is there", async () => {
  const clusterId = await clusterOf({ iops: 1, burst: 50, bytes: 10_000, oversize: false });
  const appId = await limitedApplication(sql, { iops: 1000, bytes: 10_000 }, { clusterId });
  const [cost] = await sql`select rate_limiter.cost(${appId}, 'head', 1)::float8 as cost`;
  const session = await database.session("overtaken");
  await batch(appId, 2, "warm")(session.sql);
  await holder.sql`begin`;
  await holder.sql`
    update rate_limiter.token_buckets as b
    set current_tokens = 10.5 * ${cost?.cost}, last_refill_at = clock_timestamp()
    where owner_id = ${clusterId} and bucket_type = 'iops_l1'
  `;
  const deciding = session.start(batch(appId, 20, "overtaken"));
  await session.waitsOnLock();
  await holder.sql`commit`;
  const decisions = await deciding;
  expect(decisions.filter((decision) => decision.allowed).length).toBeLessThan(20);
  expect(decisions.filter((decision) => decision.allowed).length).toBeGreaterThanOrEqual(10);
  expect(decisions.at(-1)?.reason).toBe("iops_l1");
});

describe("what layer 2 cannot give waits for a layer 1 in debt", () => {
  const inDebt = { iops: 1000, bytes: 1000, oversize: true };
  const at = moment(60);

  /** Decisions and leases after an operation that owes layer 1 more than its application. */
  async function afterDebt<T>(appId: string, call: (s: Sql) => Promise<T>): Promise<T> {
    const { sql: s } = observer;
    await s`begin`;
    try {
      await setSetting(s, "lease_fairness", "false");
      await consume(s, appId, "read_small", 9000);
      return await call(s);
    } finally {
      await s`rollback`;
    }
  }

  async function consume(s: Sql, appId: string, operation: string, size: number) {
    const [row] = await s`
      select d.allowed, d.reason, d.retry_after_ms::integer as wait
      from rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${operation}, ${size}
      ) as d
    `;
    return { ...row };
  }

  test.each([
    ["by itself", 1, { oversize: 9000, own: 8900, lease: 8100 }],
    ["beside another tenant", 2, { oversize: 16_000, own: 980, lease: 820 }],
  ])("that its tenant uses %s", async (_, tenants, waits) => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, inDebt);
    if (tenants === 2) await makeApplication(sql, { clusterId });
    const quota = { iops: 10, burst: 12, bytes: 5000, oversize: true };
    const appId = await limitedApplication(sql, quota, { clusterId });

    const operations = ["head", "head", "write_large", "write_large"];
    const sizes = [0, 0, 30_000, 900];
    const oneByOne = await afterDebt(appId, async (s) => {
      const decisions: object[] = [];
      for (const [index, operation] of operations.entries()) {
        decisions.push(await consume(s, appId, operation, sizes[index] ?? 0));
      }
      return decisions;
    });
    const batch = await afterDebt(appId, async (s) => [
      ...(await s`
        select d.allowed, d.reason, d.retry_after_ms::integer as wait
        from rate_limiter_internal.consume_batch_at(
          rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, ${operations},
          ${sizes}::bigint[]
        ) as d
      `),
    ]);
    expect(batch).toEqual(oneByOne);
    expect(batch.map(({ wait }) => wait)).toEqual([0, 0, waits.oversize, waits.own]);

    const [alone] = await afterDebt(
      appId,
      (s) => s`
        select l.retry_after_ms::integer as wait
        from rate_limiter_internal.lease_tokens_at(
          rate_limiter_internal.app_shard_key(${appId}), ${at}, ${appId}, 1, 100
        ) as l
      `,
    );
    const [exchanged] = await afterDebt(
      appId,
      (s) => s`
        select (rate_limiter_internal.exchange_leases_at(
          array[row(
            rate_limiter_internal.app_shard_key(${appId}), ${appId}, null, 0, 0, 1, 100, null, null
          )::rate_limiter_internal.lease_renewal],
          '{}', '{}', ${at}
        ) -> 0 ->> 'retry_after_ms')::integer as wait
      `,
    );
    expect(alone?.wait).toBe(waits.lease);
    expect(exchanged?.wait).toBe(waits.lease);
  });
});
