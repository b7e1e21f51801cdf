import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { startWorker } from "../../src/worker/worker.ts";
import { createDatabase } from "../harness/index.ts";
import { limitedApplication, setSetting } from "../sql/world.ts";
import { holdClock } from "../worker/hold-clock.ts";

const database = await createDatabase();
const { sql } = database;
const worker = database.as("rate_limiter_worker");
const start = Date.now();
const at = (seconds: number) => new Date(start + seconds * 1000).toISOString();

beforeEach(async () => {
  await sql`delete from graphile_worker._private_jobs`;
  await sql`delete from rate_limiter_private.job_progress`;
  await setSetting(sql, "token_cleanup_interval", 300);
});

async function isDue(seconds: number): Promise<boolean> {
  const [row] = await worker`
    select rate_limiter_private.lease_expiry_is_due(${at(seconds)}) as is_due
  `;
  return row?.is_due;
}

const done = (seconds: number) => worker`
  select rate_limiter_private.lease_expiry_is_done(${at(seconds)})
`;

/** For when cleanups are queued, in seconds after the start. */
async function queued(): Promise<number[]> {
  const rows = await sql<{ run_at: string }[]>`
    select j.run_at from graphile_worker.jobs as j
    where j.task_identifier = 'expire_leases' order by j.run_at
  `;
  return rows.map((row) => (Date.parse(row.run_at) - start) / 1000);
}

describe("a cleanup by the clock follows the setting token_cleanup_interval:", () => {
  test("it is due at first, and then when the interval has passed", async () => {
    expect(await isDue(0)).toBe(true);
    await done(0);
    expect(await isDue(60)).toBe(false);
    expect(await isDue(299)).toBe(false);
    expect(await isDue(300)).toBe(true);
  });

  test("one that is due before the clock asks again is queued for its moment, once", async () => {
    await done(0);
    await isDue(60);
    await isDue(240);
    expect(await queued()).toEqual([]);
    await isDue(241);
    await isDue(299);
    expect(await queued()).toEqual([300]);
  });

  test("one of less than a minute queues the next", async () => {
    await setSetting(sql, "token_cleanup_interval", 10);
    await done(0);
    expect(await queued()).toEqual([10]);
    await done(10);
    expect(await queued()).toEqual([20]);
  });

  test("a changed setting counts from the next minute on", async () => {
    await done(0);
    await setSetting(sql, "token_cleanup_interval", 120);
    expect(await isDue(120)).toBe(true);
    await setSetting(sql, "token_cleanup_interval", 86_400);
    expect(await isDue(120)).toBe(false);
  });

  test("a clock that stepped back waits for nothing", async () => {
    await done(3600);
    expect(await isDue(0)).toBe(true);
    await done(0);
    expect(await isDue(299)).toBe(false);
  });
});

describe("a worker", () => {
  const startHere = async () => {
    await holdClock(database);
    const service = await startWorker({ databaseUrl: database.urlAs("rate_limiter_worker") });
    onTestFinished(service.stop);
  };
  const expiredLease = async () => {
    const appId = await limitedApplication(sql, { iops: 100 });
    const [lease] = await sql`
      insert into rate_limiter.token_leases
        (shard_key, app_id, tokens, bytes, charged, granted_at, expires_at)
      values (rate_limiter_internal.shard_key_of(${appId}), ${appId}, 1, 0, '{}', now() - interval '2 minutes', now() - interval '1 minute')
      returning lease_id
    `;
    return lease?.lease_id as string;
  };
  const isSettled = async (leaseId: string) => {
    const [row] = await sql`
      select settled_at is not null as is_settled from rate_limiter.token_leases
      where lease_id = ${leaseId}
    `;
    return row?.is_settled;
  };
  const untilNoneIsDue = async () => {
    for (let tries = 0; tries < 400; tries++) {
      const rows = await sql`
        select from graphile_worker.jobs as j
        where j.task_identifier = 'expire_leases' and j.run_at <= now()
      `;
      if (rows.count === 0) return;
      await sleep(25);
    }
    throw new Error("jobs are left");
  };

  test("leaves expired leases alone until it is time", async () => {
    const leaseId = await expiredLease();
    await sql`select rate_limiter_private.lease_expiry_is_done()`;
    await startHere();
    await sql`select graphile_worker.add_job('expire_leases', '{"by": "clock"}')`;
    await untilNoneIsDue();
    expect(await isSettled(leaseId)).toBe(false);
    await sql`
      update rate_limiter_private.job_progress set done_until = done_until - interval '5 minutes'
    `;
    await sql`select graphile_worker.add_job('expire_leases', '{"by": "clock"}')`;
    await untilNoneIsDue();
    expect(await isSettled(leaseId)).toBe(true);
    const [progress] = await sql`
      select now() - done_until < interval '1 minute' as is_recent
      from rate_limiter_private.job_progress where job = 'expire_leases'
    `;
    expect(progress?.is_recent).toBe(true);
  });

  test("does what a person asks for at once", async () => {
    const leaseId = await expiredLease();
    await sql`select rate_limiter_private.lease_expiry_is_done()`;
    await startHere();
    await sql`select graphile_worker.add_job('expire_leases')`;
    await untilNoneIsDue();
    expect(await isSettled(leaseId)).toBe(true);
  });
});
