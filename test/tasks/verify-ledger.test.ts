import { beforeEach, describe, expect, test } from "vitest";
import { makeApplication } from "../denials/world.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const { sql } = database;
const owner = database.as("rate_limiter_owner");
const start = Date.now() + 60_000;
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();
let appId = "";

beforeEach(async () => {
  await sql`delete from rate_limiter_private.ledger_checks`;
  appId = await makeApplication(database, { limit: 10, burst: 1000 });
});

async function consume(seconds: number): Promise<void> {
  await owner`
    select rate_limiter_internal.consume_at(${at(seconds)}, ${appId}, 'write_small', 0)
  `;
}

async function verify(seconds: number) {
  const [found] = await database.as("rate_limiter_worker")<
    { gap_count: string; first_gaps: { owner_id: string; problem?: string }[] }[]
  >`select * from rate_limiter_private.verify_ledger(${at(seconds)})`;
  return found;
}

describe("the nightly check of the ledger", () => {
  test("finds nothing where nothing is wrong, and goes on from there", async () => {
    await consume(1);
    expect(await verify(10)).toMatchObject({ gap_count: "0", first_gaps: [] });
    await consume(20);
    expect(await verify(86_400)).toMatchObject({ gap_count: "0" });
    const [last] = await sql`
      select from_time from rate_limiter_private.ledger_checks order by checked_at desc limit 1
    `;
    expect(Date.parse(last?.from_time)).toBe(start + 10_000 - 3_600_000);
  });

  test("finds a row that is missing, until it is explained", async () => {
    for (const seconds of [1, 2, 3, 4]) await consume(seconds);
    await sql`
      delete from rate_limiter.token_transactions where owner_id = ${appId} and seq = 2
    `;
    const found = await verify(10);
    expect(found?.gap_count).toBe("1");
    expect(found?.first_gaps).toMatchObject([{ owner_id: appId, seq: 3 }]);
    expect((await verify(86_400))?.gap_count).toBe("1");
    await sql`
      delete from rate_limiter.token_transactions where owner_id = ${appId};
    `;
    await sql`delete from rate_limiter.token_buckets where owner_id = ${appId}`;
    expect((await verify(86_500))?.gap_count).toBe("0");
  });

  test("does not look for rows that have expired", async () => {
    const lose = () => sql`delete from rate_limiter.token_transactions where owner_id = ${appId}`;
    await consume(1);
    await lose();
    expect((await verify(10))?.gap_count).toBe("1");
    // Nobody has drawn on it since before the oldest partition.
    await sql`
      update rate_limiter.token_buckets set updated_at = now() - interval '10 years'
      where owner_id = ${appId}
    `;
    expect((await verify(20))?.gap_count).toBe("0");
    await consume(30);
    await lose();
    expect((await verify(40))?.gap_count).toBe("1");
    await sql`delete from rate_limiter.token_buckets where owner_id = ${appId}`;
  });

  test("does not take a change of quota for a row", async () => {
    const look = (seconds: number) =>
      sql`select rate_limiter_internal.lock_buckets(${at(seconds)}, ${appId}, null)`;
    // A full bucket and the one row that says so, which expires.
    await look(1);
    await sql`delete from rate_limiter.token_transactions where owner_id = ${appId}`;
    await sql`
      select rate_limiter_internal.publish_quota_at(
        ${at(2000)}, ${appId}, null, 'enforce', null, null,
        '{"iops_limit": 20, "iops_burst": 2000, "burst_duration_seconds": 1, "refill_rate": 20}',
        null, 'test'
      )
    `;
    await look(3000);
    expect(await verify(3010)).toMatchObject({ gap_count: "0", first_gaps: [] });
  });

  test("is not misled by a clock that stepped back over the start of its span", async () => {
    const span = 10_000;
    await consume(span + 5);
    await consume(span - 5);
    await consume(span + 6);
    await sql`
      insert into rate_limiter_private.ledger_checks (from_time, checked_at, gap_count)
      values ('-infinity', ${at(span + 3600)}, 0)
    `;
    expect(await verify(span + 7200)).toMatchObject({ gap_count: "0" });
  });
});
