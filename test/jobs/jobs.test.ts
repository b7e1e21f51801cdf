import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { startWorker } from "../../src/worker/worker.ts";
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

  test.each([
    [["run", "aggregate_metrics"], "payload_invalid", 'grain is "hour" or "day"'],
    [["run", "aggregate_metrics", '{"grain": "week"}'], "payload_invalid", "grain is"],
    [["run", "verify_ledger", '{"from": 1}'], "payload_invalid", "It takes no payload"],
    [["run", "deliver_notification", '{"notification_id": "1"}'], "payload_invalid", "a UUID"],
    [["retry", "zzz"], "id_invalid", "jobs failed"],
    [["retry", "1", "99999999999999999999"], "id_invalid", "jobs failed"],
    [["replay", "1"], "id_invalid", "jobs dead-letters"],
    [
      ["aggregate", "--from", "yesterday", "--to", "2026-01-01"],
      "moment_invalid",
      "2026-01-01T00:00Z",
    ],
    [["aggregate", "--from", "2026-01-02", "--to", "2026-01-01T05:00Z"], "span_invalid", "--from"],
  ])("refuses jobs %j before it asks the database", async (words, code, hint) => {
    const { code: exit, stderr } = await runCli(["jobs", ...words], {
      DATABASE_URL: "postgres://127.0.0.1:1/none",
    });
    expect({ exit, stderr }).toEqual({ exit: 2, stderr: expect.stringContaining(`(${code})`) });
    expect(stderr).toContain(hint);
  });

  test("a job of an unknown task, or with a payload that does not fit, fails with the reason", async () => {
    await sql`
      select
        graphile_worker.add_job('no_such_task', run_at => now() - interval '11 minutes'),
        graphile_worker.add_job('no_such_task', run_at => now() + interval '1 hour'),
        graphile_worker.add_job('aggregate_metrics', '{"grain": "week"}', max_attempts => 1)
    `;
    const worker = await startWorker({ databaseUrl: database.urlAs("rate_limiter_worker") });
    onTestFinished(async () => {
      await worker.stop();
      await sql`delete from graphile_worker._private_jobs`;
    });
    await sql`select graphile_worker.add_job('rescue_stuck_jobs')`;
    const errors = () => sql<{ error: string }[]>`
      select last_error as error from rate_limiter_private.failed_jobs()
      where task in ('no_such_task', 'aggregate_metrics') order by task
    `;
    await vi.waitFor(
      async () =>
        expect(await errors()).toMatchObject([
          { error: expect.stringContaining("grain is") },
          { error: "unknown task: no_such_task" },
        ]),
      { timeout: 30_000, interval: 100 },
    );
  });

  test("shows what retention would take, and archives; without a folder it says so", async () => {
    expect((await qos("retention")).stdout).toBe("nothing has expired\n");
    expect((await qos("archive", "list", folder)).stdout).toBe("nothing has been archived\n");
    expect(await qos("archive", "list")).toMatchObject({ code: 2 });
    expect(await qos("archive", "list", join(folder, "none"))).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^error: \S+none does not exist \(archive_folder_missing\)\n$/),
    });
    expect(await qos("archive", "verify", join(folder, "none"))).toMatchObject({ code: 2 });
    const marked = await qos("jobs", "aggregate", "--from", "2026-01-01Z", "--to", "2026-01-02Z");
    expect(marked.stdout).toContain("aggregate: 0");
  });

  test("shows dead letters and sends them again", async () => {
    const tenant = await makeTenant(database, "letters");
    const [notification] = await sql<{ id: string }[]>`
      update rate_limiter.alert_notifications set status = 'dead', last_error = 'it broke'
      where alert_id = ${tenant.alertId}
      returning notification_id as id
    `;
    const { stdout } = await qos("jobs", "dead-letters");
    expect(stdout).toMatch(
      new RegExp(`^notification_id .*\n${notification?.id} +triggered +log .*it broke\n$`),
    );
    expect((await qos("jobs", "replay")).stdout).toBe("notifications sent again: 1\n");
    expect((await qos("jobs", "dead-letters")).stdout).toBe("every notification was sent\n");
  });
});

describe("the admin API's functions", () => {
  test("show and retry failed jobs to system administrators alone", async () => {
    const { users } = await makeTenant(database, "administrators");
    const id = await failForGood("drain_default_partitions");
    const as = (role: keyof typeof users) => ({ user_id: users[role] });
    const visitor = "rate_limiter_visitor" as const;
    const rows = await database.withTransaction(visitor, as("system_admin"), (t) =>
      t`select * from rate_limiter_admin.failed_jobs()`.then((found) => [...found]),
    );
    expect(rows).toMatchObject([{ job_id: id, task: "drain_default_partitions" }]);
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

  test("acknowledge an alert: one state, one notification to each channel, and a job that sends it", async () => {
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
          where j.payload ->> 'notification_id' = n.notification_id::text) as jobs
      from rate_limiter.alert_history as h
      join rate_limiter.alert_notifications as n on n.history_id = h.history_id
      where h.alert_id = ${alertId} and n.event = 'acknowledged'
    `;
    expect([...seen]).toEqual([
      { status: "acknowledged", event: "acknowledged", channel: "log", jobs: 1 },
    ]);
  });

  test("replay a dead letter of one's own tenant", async () => {
    const mine = await makeTenant(database, "mine");
    const theirs = await makeTenant(database, "theirs");
    const [notification] = await sql<{ id: string }[]>`
      update rate_limiter.alert_notifications set status = 'dead' where alert_id = ${mine.alertId}
      returning notification_id as id
    `;
    const replay = (userId: string) =>
      database.withTransaction("rate_limiter_visitor", { user_id: userId }, (t) =>
        t`
          select status from rate_limiter_admin.replay_notification(${notification?.id ?? ""})
        `.then((found) => [...found]),
      );
    expect(await replay(mine.users.ops_admin)).toEqual([{ status: "pending" }]);
    await expectSqlState(replay(theirs.users.ops_admin), "QS404", "unknown notification");
    await expectSqlState(replay(mine.users.app_viewer), "QS403", "permission denied");
  });
});
