import { beforeEach, expect, test } from "vitest";
import { addQuota, type ClientWorld, charged, makeWorld } from "../../client/world.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";

const database = await createDatabase();
const app = database.as("rate_limiter_app");
let worlds: ClientWorld[] = [];

beforeEach(async () => {
  worlds = [await makeWorld(database), await makeWorld(database)];
  for (const world of worlds) {
    await addQuota(database, world, { iops: { limit: 1, burst: 1_000 } });
  }
});

type Entry = Readonly<Record<string, unknown>>;

async function exchange(
  renewals: readonly Entry[],
  settlements: readonly Entry[] = [],
  charges: readonly Entry[] = [],
  waits = true,
): Promise<Record<string, unknown>[]> {
  const json = (entries: readonly Entry[]) => JSON.stringify(entries);
  const [row] = await app`
    select rate_limiter.exchange_leases(
      ${json(renewals)}::text::jsonb, ${json(settlements)}::text::jsonb,
      ${json(charges)}::text::jsonb, '10 seconds', 'test', ${waits}
    ) as answers
  `;
  return row?.answers;
}

const wanted = ({ appId }: ClientWorld, tokens = "100") => ({
  app_id: appId,
  tokens,
  bytes: "0",
});

test("leases of many applications, and what their buckets hold", async () => {
  const answers = await exchange(worlds.map((world) => wanted(world)));
  expect(answers.map(({ app_id }) => app_id)).toEqual(worlds.map(({ appId }) => appId));
  for (const answer of answers) {
    expect(answer).toMatchObject({ tokens: "100", is_limited_tokens: true, holders: "1" });
    expect(Number(answer.remaining)).toBeCloseTo(900, -1);
    expect(answer).not.toHaveProperty("short_of");
  }
});

test("names the bucket that was short", async () => {
  const [first] = worlds as [ClientWorld];
  const [answer] = await exchange([wanted(first, "5000")]);
  expect(answer).toMatchObject({ short_of: "iops_l2" });
});

test("renews and settles, and charges what is owed, in one call", async () => {
  const [first, second] = worlds as [ClientWorld, ClientWorld];
  const [one, other] = await exchange(worlds.map((world) => wanted(world)));
  const spent = { spent_tokens: "40", spent_bytes: "0" };
  await exchange(
    [{ ...wanted(first, "10"), lease_id: one?.lease_id, ...spent }],
    [
      { app_id: second.appId, lease_id: other?.lease_id, ...spent },
      // Known, and over: it counts as spent, and stops nothing.
      { app_id: second.appId, lease_id: other?.lease_id, ...spent },
    ],
    [{ app_id: second.appId, tokens: "7", bytes: "0", key: "a" }],
  );
  expect(Number((await charged(database, first)).tokens)).toBeCloseTo(50, -1);
  expect(Number((await charged(database, second)).tokens)).toBeCloseTo(47, -1);
});

test("refuses one application, and leases to the others", async () => {
  const [first, second] = worlds as [ClientWorld, ClientWorld];
  await database.sql`
    update rate_limiter.applications set is_active = false where app_id = ${first.appId}
  `;
  const answers = await exchange([wanted(first), wanted(second)]);
  expect(answers).toMatchObject([
    { app_id: first.appId, code: "QS403" },
    { app_id: second.appId, tokens: "100" },
  ]);
});

test("answers which applications are locked where it is told not to wait", async () => {
  const [first, second] = worlds as [ClientWorld, ClientWorld];
  await exchange([wanted(first), wanted(second)]);
  await database.sql.begin(async (sql) => {
    await sql`select from rate_limiter.token_buckets where owner_id = ${first.appId} for update`;
    const answers = await exchange(
      [wanted(first), wanted(second)],
      [],
      [{ app_id: first.appId, tokens: "1", bytes: "0", key: "b" }],
      false,
    );
    expect(answers).toMatchObject([
      { app_id: first.appId, key: "b", is_busy: true },
      { app_id: first.appId, is_busy: true },
      { app_id: second.appId, tokens: "100" },
    ]);
  });
});

test("refuses what is not an exchange", async () => {
  await expectSqlState(app`select rate_limiter.exchange_leases('[]', '[]', '[]')`, "QS422");
  await expectSqlState(app`select rate_limiter.exchange_leases('{}', '[]', '[]')`, "QS422");
});

test("refuses a holder and a key that are too long, before it changes anything", async () => {
  const [world] = worlds as [ClientWorld];
  const owed = (key: string | null) => ({ app_id: world.appId, tokens: "1", bytes: "0", key });
  for (const key of ["x".repeat(256), "", null]) {
    await expectSqlState(exchange([wanted(world)], [], [owed("good"), owed(key)]), "QS422");
  }
  await expectSqlState(
    app`
      select rate_limiter.exchange_leases(
        ${JSON.stringify([wanted(world)])}::text::jsonb, '[]', '[]', holder => ${"x".repeat(256)}
      )
    `,
    "QS422",
  );
  const leases = await database.sql`
    select from rate_limiter.token_leases where app_id = ${world.appId}
  `;
  expect(leases.count).toBe(0);
});

test("an application is renewed at most eight times in one exchange", async () => {
  const [one, other] = worlds as [ClientWorld, ClientWorld];
  const times = (count: number) => Array.from({ length: count }, () => wanted(one, "1"));
  expect(await exchange([...times(8), wanted(other)])).toHaveLength(9);
  await expectSqlState(exchange([...times(9), wanted(other)]), "QS422");
});
