import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { runCli } from "../cli/run-cli.ts";
import { makeTenant } from "../data-model/world.ts";
import { createDatabase, expectSqlState } from "../harness/index.ts";

const database = await createDatabase();
const { sql } = database;
const folder = mkdtempSync(join(tmpdir(), "archive-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const qos = (...args: string[]) => runCli(args, { DATABASE_URL: database.url });

async function failForGood(task: string): Promise<string> {
  const [job] = await sql<{ id: string }[]>`
    select id from graphile_worker.add_job(${task}, run_at => now() + interval '1 hour')
  `;
  await sql`
    update graphile_worker._private_jobs
    set attempts = max_attempts, last_error = 'it broke' where id = ${job?.id ?? ""}
  `;
  return job?.id ?? "";
}

async function attemptsOf(jobId: string): Promise<number | undefined> {
  const [job] = await sql<{ attempts: number }[]>`
    select attempts from graphile_worker.jobs where id = ${jobId}
  `;
  return job?.attempts;
}

describe("the command line", () => {
  test("shows failed jobs and runs them again", async () => {
    expect((await qos("jobs", "failed")).stdout).toBe("no job has failed for good\n");
    const id = await failForGood("verify_ledger");
    const other = await failForGood("expire_leases");
    const { stdout } = await qos("jobs", "failed", "--json");
    const rows = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows).toMatchObject([{ task: "expire_leases" }, { job_id: id, last_error: "it broke" }]);
    expect((await qos("jobs", "retry", id)).stdout).toBe("jobs that run again: 1\n");
    expect([await attemptsOf(id), await attemptsOf(other)]).toEqual([0, 25]);
    expect((await qos("jobs", "retry")).stdout).toBe("jobs that run again: 1\n");
  });

  test("queues a task, and refuses what is none", async () => {
    const queued = await qos("jobs", "run", "aggregate_metrics", '{"grain": "hour"}');
    expect(queued.stdout).toMatch(/^job \d+ of aggregate_metrics is queued\n$/);
    const [job] = await sql`
      select payload from graphile_worker._private_jobs
      where payload ->> 'grain' is not null
    `;
    expect(job?.payload).toEqual({ grain: "hour" });
    expect(await qos("jobs", "run", "no_such")).toMatchObject({ code: 2 });
    expect(await qos("jobs", "run", "verify_ledger", "[]")).toMatchObject({ code: 2 });
  });

  test("shows what retention would take, and archives; without a folder it says so", async () => {
    expect((await qos("retention")).stdout).toBe("nothing has expired\n");
    expect((await qos("archive", "list", folder)).stdout).toBe("nothing has been archived\n");
    expect(await qos("archive", "list")).toMatchObject({ code: 2 });
    expect(await qos("archive", "list", join(folder, "none"))).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error: \S+none is not there \(archive_folder_missing\)\n$/),
    });
    expect(await qos("archive", "verify", join(folder, "none"))).toMatchObject({ code: 2 });
    const marked = await qos("jobs", "aggregate", "--from", "2026-01-01Z", "--to", "2026-01-02Z");
    expect(marked.stdout).toContain("aggregate: 0");
  });

  test("shows dead letters and sends them again", async () => {
    const tenant = await makeTenant(database, "letters");
    const [notice] = await sql<{ id: string }[]>`
      update rate_limiter.alert_notices set status = 'dead', last_error = 'it broke'
      where alert_id = ${tenant.alertId}
      returning notice_id as id
    `;
    const { stdout } = await qos("jobs", "dead-letters");
    expect(stdout).toMatch(
      new RegExp(`^notice_id .*\n${notice?.id} +triggered +log .*it broke\n$`),
    );
    expect((await qos("jobs", "replay")).stdout).toBe("notices sent again: 1\n");
    expect((await qos("jobs", "dead-letters")).stdout).toBe("every notice was sent\n");
  });
});

describe("the admin API's functions", () => {
  test("show and retry failed jobs to system administrators alone", async () => {
    const { users } = await makeTenant(database, "administrators");
    const id = await failForGood("move_stragglers");
    const as = (role: keyof typeof users) => ({ user_id: users[role] });
    const visitor = "rate_limiter_visitor" as const;
    const rows = await database.withTransaction(visitor, as("system_admin"), (t) =>
      t`select * from rate_limiter_admin.failed_jobs()`.then((found) => [...found]),
    );
    expect(rows).toMatchObject([{ job_id: id, task: "move_stragglers" }]);
    const [retried] = await database.withTransaction(visitor, as("system_admin"), (t) =>
      t`select rate_limiter_admin.retry_jobs() as count`.then((found) => [...found]),
    );
    expect(retried?.count).toBe(1);
    for (const role of ["tenant_admin", "ops_admin", "auditor"] as const) {
      for (const call of ["failed_jobs", "retry_jobs"]) {
        await expectSqlState(
          database.withTransaction(visitor, as(role), (t) =>
            t.unsafe(`select rate_limiter_admin.${call}()`),
          ),
          "QS403",
        );
      }
    }
  });

  test("acknowledge an alert: one state, one notice to each channel, and a job that sends it", async () => {
    const { users, alertId } = await makeTenant(database, "acknowledging");
    const [alert] = await sql<{ id: string }[]>`
      select history_id as id from rate_limiter.alert_history where alert_id = ${alertId}
    `;
    await database.as("rate_limiter_visitor").begin(async (visitor) => {
      await visitor`select set_config('rate_limiter.user_id', ${users.ops_admin}, true)`;
      await visitor`select rate_limiter_admin.acknowledge_alert(${alert?.id ?? ""})`;
    });
    const seen = await sql`
      select h.status, n.event, n.channel,
        (select count(*)::integer from graphile_worker._private_jobs as j
          where j.payload ->> 'notice_id' = n.notice_id::text) as jobs
      from rate_limiter.alert_history as h
      join rate_limiter.alert_notices as n on n.history_id = h.history_id
      where h.alert_id = ${alertId} and n.event = 'acknowledged'
    `;
    expect([...seen]).toEqual([
      { status: "acknowledged", event: "acknowledged", channel: "log", jobs: 1 },
    ]);
  });

  test("replay a dead letter of one's own tenant", async () => {
    const mine = await makeTenant(database, "mine");
    const theirs = await makeTenant(database, "theirs");
    const [notice] = await sql<{ id: string }[]>`
      update rate_limiter.alert_notices set status = 'dead' where alert_id = ${mine.alertId}
      returning notice_id as id
    `;
    const replay = (userId: string) =>
      database.withTransaction("rate_limiter_visitor", { user_id: userId }, (t) =>
        t`
          select status from rate_limiter_admin.replay_notice(${notice?.id ?? ""})
        `.then((found) => [...found]),
      );
    expect(await replay(mine.users.ops_admin)).toEqual([{ status: "pending" }]);
    await expectSqlState(replay(theirs.users.ops_admin), "QS404", "unknown notice");
    await expectSqlState(replay(mine.users.app_viewer), "QS403", "permission denied");
  });
});
