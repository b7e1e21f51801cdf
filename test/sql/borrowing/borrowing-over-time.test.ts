import { expect, test } from "vitest";
import { createDatabase } from "../../harness/index.ts";
import { ledgerGaps, limitedApplication, moment, setSetting } from "../world.ts";

const database = await createDatabase();
const { sql } = database;
const owner = database.as("rate_limiter_owner");

const rate = 5;
const capacity = 100;
const ratio = 1.5;
const quota = { iops: rate, burst: capacity };

/** What an application takes that always asks for three times what flows in. */
async function consumeFor(appId: string, from: number, seconds: number): Promise<number> {
  const [row] = await owner`
    select count(*) filter (where d.allowed)::integer as admitted
    from generate_series(0, ${seconds * 16 - 1}::integer) as asked
    cross join lateral rate_limiter_internal.consume_at(
      rate_limiter_internal.app_shard_key(${appId}),
      ${moment(from)}::timestamptz + asked / 4 * interval '250 ms', ${appId}, 'head', 0
    ) as d
  `;
  return row?.admitted;
}

async function borrow(appId: string, tokens: number, at: number): Promise<boolean> {
  try {
    await owner`
      select rate_limiter_internal.borrow_tokens_at(
        ${moment(at)}, ${appId}, 'iops_l2', ${tokens}, '120 s'
      )
    `;
    return true;
  } catch (error) {
    expect((error as { code?: string }).code).toBe("QS409");
    return false;
  }
}

async function loans(appId: string, dueBefore: number) {
  const rows = await sql`
    select status, count(*)::integer as loans, sum(repayment_tokens - repaid_tokens)::float8 as owed
    from rate_limiter.token_borrowing
    where owner_id = ${appId} and due_at < ${moment(dueBefore)}
    group by status
  `;
  return Object.fromEntries(rows.map(({ status, ...counts }) => [status, { ...counts }]));
}

test("twenty minutes of a busy borrower: every due loan is paid", {
  timeout: 120_000,
}, async () => {
  const grace = 30;
  await setSetting(sql, "borrow_grace_seconds", grace);
  const appId = await limitedApplication(sql, quota);
  const minutes = 20;
  let admitted = 0;
  let borrowed = 0;
  for (let second = 0; second < minutes * 60; second += 5) {
    if (await borrow(appId, 10, second)) borrowed++;
    admitted += await consumeFor(appId, second, 5);
    if (second % 60 === 55) {
      await database.as("rate_limiter_worker")`
        select rate_limiter_private.collect_borrowings(${moment(second + 5)}, 200)
      `;
    }
  }
  expect(borrowed).toBeGreaterThan(20);
  // Due, and past grace and the job's next round: paid in full, though the bucket was never idle.
  const settled = await loans(appId, minutes * 60 - grace - 60);
  expect(settled.active).toBeUndefined();
  expect((settled.repaid?.owed ?? 0) + (settled.defaulted?.owed ?? 0)).toBe(0);
  expect((settled.repaid?.loans ?? 0) + (settled.defaulted?.loans ?? 0)).toBeGreaterThan(20);
  // It paid interest for what it had early, and never had more than the ratio ahead of its time.
  expect(admitted).toBeLessThanOrEqual(capacity + rate * minutes * 60 + capacity * ratio);
  expect(await ledgerGaps(sql)).toEqual([]);
});

test("a loop of automatic borrowing admits no more than the ratio beyond the quota", async () => {
  const appId = await limitedApplication(sql, quota);
  await sql`update rate_limiter.applications set auto_borrow = true where app_id = ${appId}`;
  const gateway = database.as("rate_limiter_app");
  const clock = async () => {
    const [row] = await sql`select extract(epoch from clock_timestamp())::float8 as seconds`;
    return row?.seconds;
  };
  const begun = await clock();
  let admitted = 0;
  let denials = 0;
  let isRefused = false;
  while (!isRefused && denials < 1000) {
    const [decision] = await gateway`select allowed from rate_limiter.consume(${appId}, 'head')`;
    if (decision?.allowed) {
      admitted++;
      continue;
    }
    denials++;
    try {
      await gateway`select rate_limiter.borrow_automatically(${appId}, 5)`;
    } catch (error) {
      expect((error as { code?: string }).code).toBe("QS409");
      isRefused = true;
    }
  }
  const elapsed = (await clock()) - begun;
  expect(isRefused).toBe(true);
  // Interest included it owes the ratio at most, and the clock let in what it lets in.
  expect(admitted).toBeGreaterThanOrEqual(capacity + 135);
  expect(admitted).toBeLessThanOrEqual(capacity + rate * elapsed + capacity * ratio);
});
