import { describe, expect, test } from "vitest";
import { createDatabase, expectSqlState } from "../../harness/index.ts";

const database = await createDatabase();
const { sql } = database;

/** Each answers null while another session holds its lock. */
const jobs = {
  aggregate_metrics_hour: "aggregate_metrics('hour')",
  aggregate_metrics_day: "aggregate_metrics('day')",
  evaluate_alerts: "evaluate_alerts()",
  record_system_metrics: "record_system_metrics(now())",
} as const;

/** What the jobs locked once, and what else a login may guess. */
const guesses = ["aggregates", "alerts", "system_metrics", "partitions", "retention"];

async function answerOf(call: string): Promise<unknown> {
  const [row] = await database
    .as("rate_limiter_worker")
    .unsafe(`select rate_limiter_private.${call} as done`);
  return row?.done;
}

describe("the lock of a job", () => {
  test("cannot be held by a login", async () => {
    const roles = [
      ...["rate_limiter_app", "rate_limiter_visitor", "rate_limiter_readonly"],
      ...["rate_limiter_worker", "rate_limiter_authenticator"],
    ] as const;
    for (const role of roles) {
      for (const statement of [
        "select from rate_limiter_internal.job_locks for key share",
        "lock table rate_limiter_internal.job_locks in access share mode",
        "lock table rate_limiter_internal.retention_lock in access share mode",
        "select rate_limiter_internal.lock_job('partitions')",
        "select rate_limiter_internal.try_lock_job('evaluate_alerts')",
      ]) {
        await expectSqlState(
          database.withTransaction(role, {}, (caller) => caller.unsafe(statement)),
          "42501",
        );
      }
    }
  });

  test("is none of the advisory locks that a login may hold", async () => {
    const hostile = await database.session("hostile", "rate_limiter_visitor");
    for (const name of guesses) {
      await hostile.sql`select pg_advisory_lock(hashtext(${`rate_limiter_${name}`}))`;
    }
    for (const call of Object.values(jobs)) expect(await answerOf(call)).not.toBeNull();
    const worker = await database.session("worker", "rate_limiter_worker");
    await worker.sql`begin`;
    const [turn] = await worker.sql`select rate_limiter_private.begin_retention() as is_ours`;
    expect(turn?.is_ours).toBe(true);
    await worker.sql`select rate_limiter_private.make_partitions()`;
    await worker.sql`select rate_limiter_private.drain_default_partitions()`;
    await worker.sql`rollback`;
    await hostile.close();
  });

  test("is held until the transaction ends, and the others say that they are busy", async () => {
    const first = await database.session("first");
    for (const [job, call] of Object.entries(jobs)) {
      await first.sql`begin`;
      await first.sql`select rate_limiter_internal.lock_job(${job})`;
      expect(await answerOf(call)).toBeNull();
      await first.sql`rollback`;
      expect(await answerOf(call)).not.toBeNull();
    }
  });

  test("gives up rather than make a partition while another session does", async () => {
    const first = await database.session("first");
    await first.sql`begin`;
    await first.sql`select rate_limiter_private.make_partitions()`;
    await expectSqlState(
      database.as("rate_limiter_worker")`select rate_limiter_private.make_partitions()`,
      "55P03",
    );
    await first.sql`rollback`;
  });

  test("must be one that exists", async () => {
    await expectSqlState(sql`select rate_limiter_internal.lock_job('unknown')`, "P0002");
    await expectSqlState(sql`select rate_limiter_internal.try_lock_job('unknown')`, "P0002");
  });
});
