import { describe, expect, test } from "vitest";
import type { Sql } from "../../../src/postgres/connect.ts";
import { createDatabase } from "../../harness/index.ts";
import { raced } from "../decisions/raced.ts";
import {
  ledgerGaps,
  limitedApplication,
  makeApplication,
  makeCluster,
  moment,
  publish,
  setSetting,
  tokensAt,
} from "../world.ts";

const database = await createDatabase();
const { sql } = database;
// All sessions here share one stripe, as two of 33 do by chance.
await database.as("rate_limiter_owner")`
  create or replace function rate_limiter_internal.session_stripe()
  returns integer language sql stable as 'select 7'
`;

/** What the one stripe gets of 100 ms of the refill: three operations' worth. */
const kept = 3;
const rate = kept * 320;
const layer1 = { iops: rate, burst: rate };

/** A cluster and two of its applications, whose terms are known. */
async function world() {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, layer1);
  const quota = { iops: 1, burst: 1000 };
  const one = await limitedApplication(sql, quota, { clusterId });
  const two = await limitedApplication(sql, quota, { clusterId });
  await sql`select ${consume(sql, one)}, ${consume(sql, two)}`;
  return { clusterId, one, two };
}

const consume = (of: Sql, appId: string, seconds = 0) => of`
  (rate_limiter_internal.consume_at(
    rate_limiter_internal.app_shard_key(${appId}), ${moment(seconds)}, ${appId}, 'head', 0
  )).allowed
`;

async function decide(of: Sql, appId: string, seconds = 0): Promise<boolean> {
  const [row] = await of`select ${consume(of, appId, seconds)}`;
  return row?.allowed;
}

function together(of: Sql, appIds: string[]) {
  return of`
    select allowed from rate_limiter.consume_many(
      ${appIds}, array_fill('head'::text, array[${appIds.length}::integer]),
      array_fill(0::bigint, array[${appIds.length}::integer])
    )
  `;
}

async function stripeOf(clusterId: string) {
  const rows = await sql`
    select
      iops::float8,
      extract(epoch from expires_at - ${moment(0)}::timestamptz)::float8 as until
    from rate_limiter_internal.layer1_stripes
    where shard_key = rate_limiter_internal.shard_key_of(${clusterId})
  `;
  expect(rows.length).toBeLessThan(2);
  return rows[0] === undefined ? undefined : { ...rows[0] };
}

async function entriesOf(ownerId: string): Promise<number> {
  const [row] = await sql`
    select count(*)::integer as entries
    from rate_limiter.token_transactions where owner_id = ${ownerId}
  `;
  return row?.entries;
}

/** What layer 1 gave, by its own account. */
async function given(clusterId: string, seconds = 0): Promise<number> {
  return rate - Number(await tokensAt(sql, moment(seconds), clusterId, "iops_l1"));
}

describe("a stripe", () => {
  test("is filled by a decision that finds it empty, and pays for those after it", async () => {
    const { clusterId, one, two } = await world();
    const before = await given(clusterId);
    for (const appId of [one, two, one, two]) expect(await decide(sql, appId)).toBe(true);
    expect(await given(clusterId)).toBe(before + 1 + kept);
    expect(await stripeOf(clusterId)).toEqual({ iops: 0, until: 1 });
    expect(await decide(sql, one)).toBe(true);
    expect(await given(clusterId)).toBe(before + 2 * (1 + kept));
  });

  test("lapses after a second", async () => {
    const { clusterId, one, two } = await world();
    await decide(sql, one);
    await decide(sql, two, 0.999);
    expect(await stripeOf(clusterId)).toEqual({ iops: kept - 1, until: 1 });
    await decide(sql, two, 1);
    expect(await stripeOf(clusterId)).toEqual({ iops: kept, until: 2 });
  });

  test("of a clock that was set back is spent, and filled for a second from there", async () => {
    const { clusterId, one, two } = await world();
    await decide(sql, one, 3600);
    const [before, taken] = [await entriesOf(two), await given(clusterId, 3600)];
    for (let i = 0; i < kept; i++) expect(await decide(sql, two)).toBe(true);
    expect(await stripeOf(clusterId)).toEqual({ iops: 0, until: 3601 });
    expect(await given(clusterId, 3600)).toBe(taken);
    // The next one heals layer 1, under locks, and the one after it fills the stripe.
    expect(await decide(sql, two)).toBe(true);
    expect(await decide(sql, two)).toBe(true);
    expect(await stripeOf(clusterId)).toEqual({ iops: kept, until: 1 });
    // No race was lost to it.
    expect(await entriesOf(two)).toBe(before + kept + 2);
  });

  test("is void when the setting changes", async () => {
    const { clusterId, one } = await world();
    await decide(sql, one);
    expect(await stripeOf(clusterId)).toMatchObject({ iops: kept });
    await setSetting(sql, "layer1_prefetch_ms", 0);
    expect(await stripeOf(clusterId)).toBeUndefined();
    const before = await given(clusterId);
    await decide(sql, one);
    expect(await given(clusterId)).toBe(before + 1);
    expect(await stripeOf(clusterId)).toBeUndefined();
    await setSetting(sql, "layer1_prefetch_ms", 100);
  });

  test("is found by its key, however few there are", async () => {
    const { clusterId, one } = await world();
    await database.withTransaction("rate_limiter_owner", {}, async (transaction) => {
      const tx = transaction as unknown as Sql;
      const scans = async () => {
        const [row] = await tx`
          select s.seq_scan::integer as whole, s.idx_scan::integer as by_key
          from pg_stat_xact_user_tables as s
          where s.relname = 'layer1_stripes'
        `;
        return { whole: row?.whole, byKey: row?.by_key };
      };
      await tx`delete from rate_limiter_internal.layer1_stripes`;
      await tx`
        insert into rate_limiter_internal.layer1_stripes
        select c.shard_key, s.stripe, ${moment(1)}, 1000, 0
        from (
          values (rate_limiter_internal.shard_key_of(${clusterId})), (1000001), (1000002)
        ) as c (shard_key)
        cross join generate_series(0, 31) as s (stripe)
      `;
      await tx`analyze rate_limiter_internal.layer1_stripes`;
      const before = await scans();
      expect(await decide(tx, one)).toBe(true);
      const after = await scans();
      expect(after.whole).toBe(before.whole);
      expect(after.byKey).toBe(before.byKey + 2);
    });
  });

  test("gets nothing of what layer 1 keeps in reserve", async () => {
    const clusterId = await makeCluster(sql);
    await publish(sql, { clusterId }, { ...layer1, reserve: rate - 4 });
    const appId = await limitedApplication(sql, { iops: 1, burst: 1000 }, { clusterId });
    await decide(sql, appId);
    await decide(sql, appId);
    expect(await stripeOf(clusterId)).toMatchObject({ iops: 2 });
    for (let i = 0; i < 4; i++) expect(await decide(sql, appId)).toBe(true);
    expect(await given(clusterId)).toBe(6);
    expect(await stripeOf(clusterId)).toMatchObject({ iops: 0 });
  });

  test("has its tokens again where the transaction is undone", async () => {
    const { clusterId, one, two } = await world();
    await decide(sql, one);
    await database.withTransaction("rate_limiter_owner", {}, async (transaction) => {
      expect(await decide(transaction as unknown as Sql, two)).toBe(true);
    });
    expect(await stripeOf(clusterId)).toMatchObject({ iops: kept });
  });
});

describe("what layer 1 gave ahead of need", () => {
  const check = async (appId: string) => {
    const [row] = await database.as("rate_limiter_owner")`
      select * from rate_limiter_internal.check_limit_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'head', 0
      )
    `;
    return { ...row };
  };
  const underReference = async (appId: string, reference: string) => {
    const [row] = await sql`
      select * from rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'head', 0, ${reference}
      )
    `;
    return { ...row };
  };

  test("counts for check_limit, and pays for operations under references and in batches", async () => {
    const { clusterId, one, two } = await world();
    await decide(sql, one);
    const left = rate - (await given(clusterId));
    await sql`
      select rate_limiter_internal.adjust_tokens_at(
        ${moment(0)}, ${clusterId}, 'iops_l1', ${-left}, 'test'
      )
    `;
    const spent = await given(clusterId);
    expect(await stripeOf(clusterId)).toMatchObject({ iops: kept });

    expect(await check(two)).toMatchObject({ allowed: true });
    expect(await stripeOf(clusterId)).toMatchObject({ iops: kept });
    expect(await underReference(one, "first")).toMatchObject({ allowed: true });
    expect(await stripeOf(clusterId)).toMatchObject({ iops: kept - 1 });
    expect(await underReference(one, "first")).toMatchObject({ allowed: true });
    expect(await stripeOf(clusterId)).toMatchObject({ iops: kept - 1 });
    const batch = await sql`
      select allowed from rate_limiter_internal.consume_batch_at(
        rate_limiter_internal.app_shard_key(${two}),
        ${moment(0)}, ${two}, '{head,head,head}', '{0,0,0}'
      )
    `;
    expect(batch.map(({ allowed }) => allowed)).toEqual([true, true, false]);
    expect(await stripeOf(clusterId)).toMatchObject({ iops: kept - 3 });
    expect(await given(clusterId)).toBe(spent);

    const denial = await check(two);
    expect(denial).toMatchObject({ allowed: false, reason: "iops_l1" });
    expect(await underReference(two, "last")).toEqual(denial);
    expect(await decide(sql, two)).toBe(false);
  });

  test("is given back by a refund to the bucket, and not to the stripe", async () => {
    const { clusterId, one } = await world();
    await decide(sql, one);
    await underReference(one, "refunded");
    const before = await given(clusterId);
    await sql`select rate_limiter_internal.refund_at(
      rate_limiter_internal.app_shard_key(${one}), ${moment(0)}, ${one}, 'refunded'
    )`;
    expect(await stripeOf(clusterId)).toMatchObject({ iops: kept - 1 });
    expect(await given(clusterId)).toBe(before - 1);
  });
});

describe("two sessions that share a stripe", () => {
  test("and want its last token: the one that waited draws on layer 1", async () => {
    const { clusterId, one, two } = await world();
    for (const appId of [one, one, one]) await decide(sql, appId);
    expect(await stripeOf(clusterId)).toMatchObject({ iops: 1 });
    const before = await given(clusterId);
    const [, allowed] = await raced(
      database,
      (of) => decide(of, one),
      (of) => decide(of, two),
    );
    expect(allowed).toBe(true);
    expect(await given(clusterId)).toBe(before + 1 + kept);
    const [charged] = await sql`
      select sum(tokens_change)::float8 as tokens
      from rate_limiter.token_transactions where owner_id = ${two}
        and transaction_type in ('consume', 'refund')
    `;
    expect(charged?.tokens).toBe(-2);
  });

  test("and both fill it: nothing is lost, and all of it lapses with the first", async () => {
    const { clusterId, one, two } = await world();
    await raced(
      database,
      (of) => decide(of, one),
      (of) => decide(of, two, 0.5),
    );
    expect(await stripeOf(clusterId)).toEqual({ iops: 2 * kept, until: 1 });
  });

  test("neither deadlock nor admit more than layer 1 gave, sixteen at a time", async () => {
    const { clusterId, one, two } = await world();
    const third = await limitedApplication(sql, { iops: 1, burst: 1000 }, { clusterId });
    const apps = [one, two, third];
    const callers = Array.from({ length: 16 }, async (_, number) => {
      const session = await database.session(`caller ${number}`, "rate_limiter_app");
      let count = 0;
      for (let call = 0; call < 40; call++) {
        const asked = call % 2 === 0 ? apps : apps.toReversed();
        const decisions = await ((number + call) % 4 === 0
          ? together(session.sql, asked)
          : session.sql`select allowed from rate_limiter.consume(${apps[call % 3] ?? ""}, 'head')`);
        count += decisions.filter(({ allowed }) => allowed).length;
      }
      await session.close();
      return count;
    });
    const admitted = await Promise.all(callers);
    const [taken] = await sql`
      select -sum(tokens_change)::float8 as tokens
      from rate_limiter.token_transactions
      where owner_id = ${clusterId} and transaction_type in ('consume', 'prefetch', 'refund')
    `;
    const total = admitted.reduce((sum, count) => sum + count, 0);
    expect(total).toBeGreaterThan(400);
    expect(total).toBeLessThanOrEqual(taken?.tokens);
  });
});

test("the ledger explains all of it", async () => {
  expect(await ledgerGaps(sql)).toEqual([]);
});

test("a denial's wait counts what the session's stripe holds, as a check does", async () => {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: 10, burst: 10, bytes: 1000 });
  const appId = await makeApplication(sql, { clusterId });
  const owner = database.as("rate_limiter_owner");
  await owner`
    select rate_limiter_internal.charge_owed_at(
      rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 10, 1000
    )
  `;
  await sql`
    insert into rate_limiter_internal.layer1_stripes (shard_key, stripe, expires_at, iops, bytes)
    values (rate_limiter_internal.shard_key_of(${clusterId}), 7, ${moment(1)}, 3, 0)
  `;
  // Of five tokens three are in the stripe, and two flow in in 200 ms.
  const [row] = await owner`
    select
      (rate_limiter_internal.check_limit_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'delete', 0
      )).retry_after_ms
        as checked,
      (rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'delete', 0
      )).retry_after_ms
        as decided,
      (rate_limiter_internal.consume_at(
        rate_limiter_internal.app_shard_key(${appId}), ${moment(0)}, ${appId}, 'read_small', 500
      )).reason
        as reason
  `;
  expect({ ...row }).toEqual({ checked: "200", decided: "200", reason: "bandwidth_l1" });
});
