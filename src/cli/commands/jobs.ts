import type { Command } from "commander";

interface Output {
  readonly json?: boolean;
}

export function register(program: Command): void {
  const jobs = program.command("jobs").description("see to the background jobs of DATABASE_URL");

  jobs
    .command("failed")
    .description("list the jobs that failed for the last time")
    .option("--json", "one JSON object a line")
    .action(async ({ json }: Output) => {
      const { asOwner } = await import("../as-owner.ts");
      const { printRows } = await import("../print-rows.ts");
      const { failedJobs } = await import("../../worker/operation/failed-jobs.ts");
      const columns = ["job_id", "task", "attempts", "failed_at", "last_error"];
      printRows(await asOwner(failedJobs), columns, { json, none: "no job has failed for good" });
    });

  jobs
    .command("retry [ids...]")
    .description("run failed jobs again: the ones named, or all")
    .action(async (ids: string[]) => {
      const { asOwner } = await import("../as-owner.ts");
      const { retryJobs } = await import("../../worker/operation/retry-jobs.ts");
      console.log(`jobs that run again: ${await asOwner((sql) => retryJobs(sql, ids))}`);
    });

  jobs
    .command("run <task> [payload]")
    .description("have a worker run a task now; the payload is JSON")
    .action(async (task: string, payload = "{}") => {
      const { asOwner } = await import("../as-owner.ts");
      const { addJob } = await import("../../worker/operation/add-job.ts");
      const { checkTask, parsePayload } = await import("../check-job.ts");
      checkTask(task);
      const content = parsePayload(payload);
      console.log(`job ${await asOwner((sql) => addJob(sql, task, content))} of ${task} is queued`);
    });

  jobs
    .command("dead-letters")
    .description("list the notices of alerts that could not be sent")
    .option("--json", "one JSON object a line")
    .action(async ({ json }: Output) => {
      const { asOwner } = await import("../as-owner.ts");
      const { printRows } = await import("../print-rows.ts");
      const { deadNotices } = await import("../../worker/operation/dead-notices.ts");
      const columns = ["notice_id", "event", "channel", "attempts", "created_at", "last_error"];
      printRows(await asOwner(deadNotices), columns, { json, none: "every notice was sent" });
    });

  jobs
    .command("replay [ids...]")
    .description("send dead letters again: the ones named, or all")
    .action(async (ids: string[]) => {
      const { asOwner } = await import("../as-owner.ts");
      const { replayNotices } = await import("../../worker/operation/replay-notices.ts");
      console.log(`notices sent again: ${await asOwner((sql) => replayNotices(sql, ids))}`);
    });

  jobs
    .command("aggregate")
    .description("have the aggregates of a span of time made anew from the samples")
    .requiredOption("--from <moment>", "as 2026-01-01T00:00Z")
    .requiredOption("--to <moment>", "up to here")
    .action(async ({ from, to }: { from: string; to: string }) => {
      const { asOwner } = await import("../as-owner.ts");
      const { markForAggregation } = await import("../../worker/operation/mark-for-aggregation.ts");
      const hours = await asOwner((sql) => markForAggregation(sql, from, to));
      console.log(`hours of metrics that the next runs aggregate: ${hours}`);
    });
}
