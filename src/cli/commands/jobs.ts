import type { Command } from "commander";

interface Output {
  readonly json?: boolean;
}

export function register(program: Command): void {
  const jobs = program
    .command("jobs")
    .description("inspect, retry and run the background jobs of DATABASE_URL");

  jobs
    .command("failed")
    .description("list the jobs that failed for the last time")
    .option("--json", "one JSON object a line")
    .action(async ({ json }: Output) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { printRows } = await import("../../output/print-rows.ts");
      const { failedJobs } = await import("../../jobs/failed-jobs.ts");
      const columns = ["job_id", "task", "attempts", "failed_at", "last_error"];
      printRows(await withOwnerConnection(failedJobs), columns, {
        json,
        none: "no job has failed for good",
      });
    });

  jobs
    .command("retry [ids...]")
    .description("retry failed jobs: the ones named, or all")
    .action(async (ids: string[]) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { retryJobs } = await import("../../jobs/retry-jobs.ts");
      const { requireJobIds } = await import("../../input/require-ids.ts");
      requireJobIds(ids);
      console.log(
        `jobs that run again: ${await withOwnerConnection((sql) => retryJobs(sql, ids))}`,
      );
    });

  jobs
    .command("run <task> [payload]")
    .description("have a worker run a task now; the payload is JSON")
    .action(async (task: string, payload = "{}") => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { addJob } = await import("../../jobs/add-job.ts");
      const { checkTask, parsePayload } = await import("../check-job.ts");
      const { requirePayload } = await import("../../worker/task-payloads.ts");
      checkTask(task);
      const content = parsePayload(payload);
      requirePayload(task, content);
      console.log(
        `job ${await withOwnerConnection((sql) => addJob(sql, task, content))} of ${task} is queued`,
      );
    });

  jobs
    .command("dead-letters")
    .description("list the notifications of alerts that could not be sent")
    .option("--json", "one JSON object a line")
    .action(async ({ json }: Output) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { printRows } = await import("../../output/print-rows.ts");
      const { deadNotifications } = await import("../../jobs/dead-notifications.ts");
      const columns = [
        "notification_id",
        "event",
        "channel",
        "attempts",
        "created_at",
        "last_error",
      ];
      printRows(await withOwnerConnection(deadNotifications), columns, {
        json,
        none: "every notification was sent",
      });
    });

  jobs
    .command("replay [ids...]")
    .description("replay dead letters: the ones named, or all")
    .action(async (ids: string[]) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { replayNotifications } = await import("../../jobs/replay-notifications.ts");
      const { requireUuids } = await import("../../input/require-ids.ts");
      requireUuids(ids, "Give ids as jobs dead-letters lists them.");
      console.log(
        `notifications sent again: ${await withOwnerConnection((sql) => replayNotifications(sql, ids))}`,
      );
    });

  jobs
    .command("aggregate")
    .description("aggregate the samples of a span of time again")
    .requiredOption("--from <moment>", "as 2026-01-01T00:00Z")
    .requiredOption("--to <moment>", "up to here")
    .action(async ({ from, to }: { from: string; to: string }) => {
      const { withOwnerConnection } = await import("../with-owner-connection.ts");
      const { markForAggregation } = await import("../../jobs/mark-for-aggregation.ts");
      const { requireMoment, requireSpan } = await import("../../input/require-moment.ts");
      const [start, end] = [requireMoment(from, "--from"), requireMoment(to, "--to")];
      requireSpan(start, end);
      const hours = await withOwnerConnection((sql) => markForAggregation(sql, start, end));
      console.log(`hours of metrics that the next runs aggregate: ${hours}`);
    });
}
