import { once } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { decodeFromCompressedBase64 } from "hdr-histogram-js";
import { statementsOf } from "../script.ts";
import type { Sample } from "../types.ts";
import type { Driver, Load } from "./driver.ts";
import { latencyOf, newHistogram } from "./latency.ts";
import type { Report, Task } from "./load-worker.ts";

/** The `postgres` driver in worker threads: for machines without pgbench. */
export const postgresDriver: Driver = { name: "postgres", run: runWorkers };

async function runWorkers(load: Load): Promise<Sample> {
  const threads = Math.min(availableParallelism(), 2, load.clients);
  const reports = await Promise.all(
    Array.from({ length: threads }, (_, thread) => runWorker(taskOf(load, thread, threads))),
  );
  const histogram = newHistogram();
  for (const report of reports) histogram.add(decodeFromCompressedBase64(report.histogram));
  return {
    figure: reports.reduce((sum, report) => sum + report.transactions / report.seconds, 0),
    latency: latencyOf(histogram),
  };
}

function taskOf(load: Load, thread: number, threads: number): Task {
  const { script, offered, ...rest } = load;
  return {
    ...rest,
    statements: statementsOf(script),
    clients: Math.floor((load.clients + thread) / threads),
    ...(offered === undefined ? {} : { offered: offered / threads }),
  };
}

async function runWorker(task: Task): Promise<Report> {
  const worker = new Worker(new URL("./load-worker.ts", import.meta.url), { workerData: task });
  // Listened for together: a worker's last message and its end may come in one turn.
  const [[report]] = await Promise.all([once(worker, "message"), once(worker, "exit")]);
  return report as Report;
}
