import { Registry } from "prom-client";
import { serveHealthAndMetrics } from "../http/health-and-metrics.ts";
import { logFor } from "../log.ts";
import { requireOneSession } from "../postgres/require-one-session.ts";
import { announceProcess } from "../processes/announce-process.ts";
import type { Service, StartWorker } from "../service.ts";
import { workerDeclaration } from "../settings/worker.ts";
import { addDatabaseMetrics } from "./database-metrics.ts";
import { startHeartbeat } from "./heartbeat.ts";
import { watchJobs } from "./job-metrics.ts";
import { loadTasks } from "./load-tasks.ts";
import { openPool } from "./pool.ts";
import { watchReadiness } from "./readiness.ts";
import { requireSchema } from "./require-schema.ts";
import { workerSettings } from "./settings.ts";
import { makeEvents, supervise } from "./supervise.ts";

const log = logFor("worker");

/** Connections beside those of the jobs: for LISTEN, for scheduled jobs, and for the scrape. */
const spareConnections = 4;

/** Starts to run jobs of the queue. Any number of processes may. */
export const startWorker: StartWorker = async ({ databaseUrl, http, env }) => {
  const settings = workerSettings(env);
  const { concurrency } = settings;
  await requireOneSession(
    databaseUrl,
    "Give the worker a direct connection to the server: it listens for jobs and holds locks of its " +
      "session. Gateways and clients may go through the pooler.",
  );
  const { pool, interrupt, close } = openPool(databaseUrl, concurrency + spareConnections);
  const register = new Registry();
  const started: (() => Promise<void>)[] = [close];
  const stop = async () => {
    for (let end = started.pop(); end !== undefined; end = started.pop()) await end();
  };
  try {
    await requireSchema(pool);
    const query = (text: string, values: readonly unknown[]) => pool.query(text, [...values]);
    started.push(announceProcess({ kind: "worker", query }).stop);
    const events = makeEvents();
    watchJobs(events, register);
    const networks = {
      ofWebhooks: settings.alerts.allowedNetworks,
      ofProbes: settings.health.allowedNetworks,
    };
    started.push(startHeartbeat(pool, events, networks).stop);
    const tasks = await loadTasks(settings);
    const work = await supervise({ pool, tasks, events, concurrency, interrupt });
    started.push(work.stop);
    const names = Object.keys(tasks);
    const readiness = await watchReadiness({
      ...{ pool, events, tasks: names, concurrency, replaceRunner: work.replace },
    });
    started.push(async () => readiness.stop());
    const service: { url?: string } = {};
    if (http) {
      const isReady = () => work.isRunning() && readiness.isReady();
      const refresh = addDatabaseMetrics(register, pool);
      const server = await serveHealthAndMetrics({
        ...{ register, isReady, refresh },
        ...{ address: http, settings: workerDeclaration },
      });
      started.push(server.stop);
      service.url = server.url;
    }
    log.info({ ...service, tasks: names.length }, "worker started");
    return { name: "worker", stop, ...service } satisfies Service;
  } catch (error) {
    await stop();
    throw error;
  }
};
