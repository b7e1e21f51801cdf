import { beforeEach, expect, test } from "vitest";
import { addQuota, type ClientWorld, makeWorld } from "../../client/world.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";

const database = await createDatabase();
const app = database.as("rate_limiter_app");
let [first, second]: ClientWorld[] = [];

beforeEach(async () => {
  [first, second] = [await makeWorld(database), await makeWorld(database)];
  for (const world of [first, second]) {
    await addQuota(database, world, { bytesPerSecond: 1_000 });
    await database.sql`
      update rate_limiter.bandwidth_quotas set refill_rate_bps = 1, bandwidth_limit_bps = 1
      where config_id in (
        select config_id from rate_limiter.quota_configs where app_id = ${world.appId}
      )
    `;
  }
});

const worlds = () => [first, second] as [ClientWorld, ClientWorld];

async function charge(
  rows: readonly (readonly [appId: string, bytes: number, key: string])[],
): Promise<boolean[]> {
  const [row] = await app`
    select rate_limiter.charge_owed_many(
      ${rows.map(([appId]) => appId)}::uuid[], ${rows.map(() => "0")}::numeric[],
      ${rows.map(([, bytes]) => String(bytes))}::numeric[], ${rows.map(([, , key]) => key)}::text[]
    ) as changed
  `;
  return row?.changed;
}

async function bytesOf({ appId }: ClientWorld): Promise<number> {
  const [row] = await app`
    select remaining_bytes::float8 as bytes from rate_limiter.check_limit(${appId}, 'head')
  `;
  return Math.round(row?.bytes / 100) * 100;
}

test("many debts are charged in one call, each key once", async () => {
  const [one, other] = worlds();
  const rows = [
    [one.appId, 1_500, "a"],
    [other.appId, 500, "a"],
    [one.appId, 500, "b"],
  ] as const;
  expect(await charge(rows)).toEqual([true, true, true]);
  expect(await charge(rows)).toEqual([false, false, false]);
  expect([await bytesOf(one), await bytesOf(other)]).toEqual([-1_000, 500]);
});

test("what was announced and not used goes back under the same key, and only once", async () => {
  const [one] = worlds();
  await charge([[one.appId, 2_000, "download"]]);
  expect(await charge([[one.appId, 300, "download"]])).toEqual([true]);
  expect(await charge([[one.appId, 300, "download"]])).toEqual([false]);
  expect(await charge([[one.appId, 2_000, "download"]])).toEqual([false]);
  expect(await bytesOf(one)).toBe(700);
});

test("an application that is gone stops the charge of no other one", async () => {
  const [one] = worlds();
  const gone = "00000000-0000-4000-8000-000000000000";
  expect(
    await charge([
      [gone, 1, "a"],
      [one.appId, 600, "a"],
    ]),
  ).toEqual([false, true]);
  expect(await bytesOf(one)).toBe(400);
});

test("lists of different lengths, and keys out of bounds, are refused", async () => {
  const [{ appId }] = worlds();
  await expectSqlState(
    app`select rate_limiter.charge_owed_many(array[${appId}]::uuid[], '{1,2}', '{0}', '{a}')`,
    "QS422",
  );
  await expectSqlState(app`select rate_limiter.charge_owed_many('{}', '{}', '{}', '{}')`, "QS422");
  await expectSqlState(
    app`select rate_limiter.charge_owed_many(array[${appId}]::uuid[], '{1}', '{0}', '{""}')`,
    "QS422",
  );
});

test("the ledger explains every balance afterwards", async () => {
  const [row] = await database.sql`select count(*)::int as wrong from rate_limiter.verify_ledger()`;
  expect(row).toEqual({ wrong: 0 });
});
