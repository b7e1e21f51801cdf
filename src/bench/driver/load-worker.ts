import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { encodeIntoCompressedBase64 } from "hdr-histogram-js";
import { connect, type Sql } from "../../postgres/connect.ts";
import type { Statement } from "../script.ts";
import { newHistogram } from "./latency.ts";

/** What one thread is to do. */
export interface Task {
  readonly statements: readonly Statement[];
  readonly url: string;
  readonly clients: number;
  readonly seconds: number;
  readonly population: number;
  readonly offered?: number;
}

export interface Report {
  readonly transactions: number;
  readonly seconds: number;
  readonly histogram: string;
}

const task = workerData as Task;
const histogram = newHistogram();
let transactions = 0;
/** Paced transactions that are due: the next one's number. */
let due = 0;

const sessions = Array.from({ length: task.clients }, () => connect(task.url, { max: 1 }));
// As with pgbench: two seconds to load functions and make plans count for nothing.
const warm = performance.now() + 2000;
await Promise.all(
  sessions.map(async (session) => {
    while (performance.now() < warm) await perform(session);
  }),
);
histogram.reset();
transactions = 0;

const start = performance.now();
const end = start + task.seconds * 1000;
await Promise.all(sessions.map((session) => work(session)));
const seconds = (performance.now() - start) / 1000;
await Promise.all(sessions.map((session) => session.end()));
parentPort?.postMessage({
  transactions,
  seconds,
  histogram: encodeIntoCompressedBase64(histogram),
} satisfies Report);

async function work(session: Sql): Promise<void> {
  while (performance.now() < end) {
    const scheduled = await nextStart();
    if (scheduled > end) return;
    await perform(session);
    const microseconds = (performance.now() - scheduled) * 1000;
    histogram.recordValue(Math.max(1, Math.round(microseconds)));
    transactions += 1;
  }
}

/** Latency counts from when a transaction was due, however late it began. */
async function nextStart(): Promise<number> {
  if (task.offered === undefined) return performance.now();
  const scheduled = start + (due++ * 1000) / task.offered;
  const wait = scheduled - performance.now();
  if (wait > 0) await sleep(wait);
  return scheduled;
}

async function perform(session: Sql): Promise<void> {
  const variables: Record<string, unknown> = { n: 1 + Math.floor(Math.random() * task.population) };
  for (const { text, variables: names, keeps } of task.statements) {
    const values = names.map((name) => String(variables[name]));
    const rows = await session.unsafe(text, values, { prepare: true });
    if (keeps) Object.assign(variables, rows[0]);
  }
}
