import { beforeAll, expect, test } from "vitest";
import { createDatabase, eventually, expectSqlState } from "../../harness/index.ts";
import { ledgerGaps, limitedApplication, makeCluster, publish, setSetting } from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const gateway = database.as("rate_limiter_app");

beforeAll(() => setSetting(sql, "lease_max_share", 1));

/** Buckets that hardly refill. */
async function leasing(): Promise<string> {
  const clusterId = await makeCluster(sql);
  await publish(sql, { clusterId }, { iops: 1, burst: 10_000 });
  return limitedApplication(sql, { iops: 1, burst: 1000 }, { clusterId });
}

interface Grant {
  readonly lease_id: string | null;
  readonly tokens: number;
  readonly lifetime_ms: number;
}

type Ask = (appId: string, tokens: number, id: string, spent?: string) => Promise<Grant>;

const leaseTokens: Ask = async (appId, tokens, id) => {
  const [grant] = await gateway<[Grant]>`
    select l.lease_id, l.tokens::float8, l.lifetime_ms::float8
    from rate_limiter.lease_tokens(${appId}, ${tokens}, 0, lease_id => ${id}) as l
  `;
  return grant;
};

const renewLease: Ask = async (appId, tokens, id, spent = crypto.randomUUID()) => {
  const [grant] = await gateway<[Grant]>`
    select l.lease_id, l.tokens::float8, l.lifetime_ms::float8
    from rate_limiter.renew_lease(
      ${appId}, ${spent}, 10, 0, ${tokens}, 0, next_lease_id => ${id}
    ) as l
  `;
  return grant;
};

const exchange = async (entries: readonly object[]) => {
  const [row] = await gateway`
    select rate_limiter.exchange_leases(
      ${JSON.stringify(entries)}::text::jsonb, '[]', '[]'
    ) as answers
  `;
  return row?.answers;
};

const entry = (appId: string, tokens: number, id: string, spent?: string) => ({
  app_id: appId,
  tokens,
  bytes: 0,
  next_lease_id: id,
  ...(spent === undefined ? {} : { lease_id: spent, spent_tokens: 10, spent_bytes: 0 }),
});

const exchangeLeases: Ask = async (appId, tokens, id, spent) => {
  const [answer] = await exchange([entry(appId, tokens, id, spent)]);
  if (answer.code) throw Object.assign(new Error(answer.message), { code: answer.code });
  return {
    lease_id: answer.lease_id ?? null,
    tokens: Number(answer.tokens),
    lifetime_ms: Number(answer.lifetime_ms),
  };
};

const ways = [
  ["lease_tokens", leaseTokens],
  ["renew_lease", renewLease],
  ["exchange_leases", exchangeLeases],
] as const;

const openLeases = (appId: string) => sql`
  select lease_id, tokens::float8 from rate_limiter.token_leases
  where app_id = ${appId} and settled_at is null
`;

const expire = (id: string) => sql`
  update rate_limiter.token_leases
  set granted_at = granted_at - interval '2 hours', expires_at = expires_at - interval '2 hours'
  where lease_id = ${id}
`;

test.each(ways)(
  "%s grants under the caller's id, and the same again when asked again",
  async (_, ask) => {
    const appId = await leasing();
    const id = crypto.randomUUID();
    const first = await ask(appId, 300, id);
    expect(first).toMatchObject({ lease_id: id, tokens: 300 });
    const again = await ask(appId, 300, id);
    expect(again).toMatchObject({ lease_id: id, tokens: 300 });
    // It ends when it ended, however late its answer comes.
    expect(again.lifetime_ms).toBeLessThan(first.lifetime_ms);
    expect(await openLeases(appId)).toEqual([{ lease_id: id, tokens: 300 }]);
  },
);

test.each(ways)("%s repeats a grant that took all there was", async (_, ask) => {
  const appId = await leasing();
  const id = crypto.randomUUID();
  const { tokens } = await ask(appId, 5_000, id);
  expect(tokens).toBeGreaterThanOrEqual(1_000);
  expect(await ask(appId, 5_000, id)).toMatchObject({ lease_id: id, tokens });
  expect(await openLeases(appId)).toHaveLength(1);
});

test.each(ways)("%s decides an empty grant anew", async (_, ask) => {
  const appId = await leasing();
  const [all, id] = [crypto.randomUUID(), crypto.randomUUID()];
  await leaseTokens(appId, 5_000, all);
  expect(await ask(appId, 300, id)).toMatchObject({ lease_id: null });
  await gateway`select rate_limiter.settle_lease(${appId}, ${all}, 0, 0)`;
  expect(await ask(appId, 300, id)).toMatchObject({ lease_id: id, tokens: 300 });
});

test.each(ways)("%s refuses an id whose lease is over", async (_, ask) => {
  const appId = await leasing();
  const [settled, expired] = [crypto.randomUUID(), crypto.randomUUID()];
  for (const id of [settled, expired]) await ask(appId, 100, id);
  await gateway`select rate_limiter.settle_lease(${appId}, ${settled}, 0, 0)`;
  await expire(expired);
  await expectSqlState(ask(appId, 100, settled), "QS409");
  await expectSqlState(ask(appId, 100, expired), "QS410");
  expect(await openLeases(appId)).toEqual([{ lease_id: expired, tokens: 100 }]);
});

test.each(ways)("%s gives a revoked lease to no repetition", async (_, ask) => {
  const appId = await leasing();
  const id = crypto.randomUUID();
  await ask(appId, 100, id);
  for (const isActive of [false, true]) {
    await sql`
      update rate_limiter.applications set is_active = ${isActive} where app_id = ${appId}
    `;
  }
  await expectSqlState(ask(appId, 100, id), "QS409");
});

test.each(ways.slice(1))("%s settles a lease with a repetition, too", async (_, ask) => {
  const appId = await leasing();
  const [first, second, next] = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()];
  for (const id of [first, second]) await leaseTokens(appId, 100, id);
  await ask(appId, 50, next, first);
  expect(await ask(appId, 50, next, second)).toMatchObject({ lease_id: next, tokens: 50 });
  expect(await openLeases(appId)).toEqual([{ lease_id: next, tokens: 50 }]);
  expect(await ledgerGaps(sql)).toEqual([]);
});

test.each(ways)(
  "%s, asked again before the first call has committed, waits for its lease",
  async (_, ask) => {
    const appId = await leasing();
    const id = crypto.randomUUID();
    const first = await database.session("first", "rate_limiter_app");
    await first.sql`begin`;
    await first.sql`select rate_limiter.lease_tokens(${appId}, 100, 0, lease_id => ${id})`;
    const again = ask(appId, 100, id);
    await eventually(async () => {
      const waiting = await sql`
      select from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'
    `;
      expect(waiting).toHaveLength(1);
    });
    await first.sql`commit`;
    expect(await again).toMatchObject({ lease_id: id, tokens: 100 });
    expect(await openLeases(appId)).toHaveLength(1);
  },
);

test("an exchange has each id once", async () => {
  const [one, other] = [await leasing(), await leasing()];
  const id = crypto.randomUUID();
  await expectSqlState(exchange([entry(one, 1, id), entry(other, 1, id)]), "QS422");
  await expectSqlState(exchange([entry(one, 1, id), entry(one, 1, id)]), "QS422");
});

test.each(ways)("%s under another application's id grants a lease of its own", async (_, ask) => {
  const [one, other] = [await leasing(), await leasing()];
  const id = crypto.randomUUID();
  await ask(one, 100, id);
  expect(await ask(other, 40, id)).toMatchObject({ lease_id: id, tokens: 40 });
  expect(await openLeases(one)).toEqual([{ lease_id: id, tokens: 100 }]);
  expect(await ledgerGaps(sql)).toEqual([]);
});
