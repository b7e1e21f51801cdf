import type { JobHelpers } from "graphile-worker";

const busy = new WeakSet<object>();

/** The job did nothing, because another session does its work now. */
export function markBusy({ job, logger }: Pick<JobHelpers, "job" | "logger">): void {
  busy.add(job);
  logger.info(`busy: another session runs ${job.task_identifier}`);
}

export function wasBusy(job: object): boolean {
  return busy.has(job);
}
