import type { WorkerEvents } from "graphile-worker";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import { logFor } from "../log.ts";
import { wasBusy } from "./busy-jobs.ts";
import { repeatedTask, repeatedTasks } from "./schedule.ts";

const log = logFor("worker");

/** Logs and measures the outcome of each job that this process runs. */
export function watchJobs(events: WorkerEvents, register: Registry): void {
  const registers = [register];
  const labelNames = ["task"] as const;
  const duration = new Histogram({
    name: "storage_qos_task_duration_seconds",
    help: "How long runs of a task took, failed ones included.",
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800],
    labelNames,
    registers,
  });
  const failures = new Counter({
    name: "storage_qos_task_failures_total",
    help: "Runs of a task that failed and will be tried again, or not any more.",
    labelNames,
    registers,
  });
  const lost = new Counter({
    name: "storage_qos_jobs_given_up_total",
    help: "Jobs that failed for the last time.",
    labelNames,
    registers,
  });
  const busy = new Counter({
    name: "storage_qos_tasks_busy_total",
    help: "Runs of a task that did nothing, because another session did the same.",
    labelNames,
    registers,
  });
  const succeeded = new Gauge({
    name: "storage_qos_task_last_success_timestamp_seconds",
    help: "When a task last succeeded in this process, or the process started; by grain of aggregates.",
    labelNames: ["task", "grain"],
    registers,
  });
  // A task that never runs is late as well.
  for (const repeated of repeatedTasks) succeeded.set({ ...repeated }, secondsNow());
  const starts = new Map<string, number>();

  events.on("job:start", ({ job }) => {
    starts.set(job.id, performance.now());
  });
  events.on("job:failed", ({ job }) => lost.inc({ task: job.task_identifier }));
  events.on("job:complete", ({ job, error }) => {
    const seconds = (performance.now() - (starts.get(job.id) ?? performance.now())) / 1000;
    starts.delete(job.id);
    const task = job.task_identifier;
    duration.observe({ task }, seconds);
    const fields = { job: job.id, task, attempt: job.attempts, ms: Math.round(seconds * 1000) };
    if (!error) {
      succeeded.set({ ...repeatedTask(task, job.payload) }, secondsNow());
      const isBusy = wasBusy(job);
      if (isBusy) busy.inc({ task });
      log.debug(fields, isBusy ? "job busy" : "job done");
      return;
    }
    failures.inc({ task });
    log.error({ ...fields, err: error }, "job failed");
  });
}

function secondsNow(): number {
  return Math.floor(Date.now() / 1000);
}
