import { EventEmitter } from "node:events";
import type { WorkerEvents } from "graphile-worker";
import { Registry } from "prom-client";
import { expect, test, vi } from "vitest";
import { watchJobs } from "../../src/worker/job-metrics.ts";

async function successesOf(register: Registry, task: string) {
  const metric = register.getSingleMetric("storage_qos_task_last_success_timestamp_seconds");
  const { values } = (await metric?.get()) ?? { values: [] };
  return values
    .filter(({ labels }) => labels.task === task)
    .map(({ labels, value }) => [labels.grain, value]);
}

test("aggregates of an hour that succeed do not hide those of a day that fail", async () => {
  vi.useFakeTimers({ now: 1_000_000, toFake: ["Date"] });
  const register = new Registry();
  const events = new EventEmitter() as WorkerEvents;
  watchJobs(events, register);
  vi.setSystemTime(2_000_000);
  const jobOf = (grain: string) => ({
    ...{ id: grain, task_identifier: "aggregate_metrics", payload: { grain }, attempts: 1 },
  });
  events.emit("job:complete", { job: jobOf("hour"), error: null } as never);
  events.emit("job:complete", { job: jobOf("day"), error: new Error("no") } as never);
  vi.useRealTimers();
  expect(await successesOf(register, "aggregate_metrics")).toEqual([
    ["hour", 2_000],
    ["day", 1_000],
  ]);
});
