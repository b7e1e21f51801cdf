import { firstAdministrator } from "../api/administrator/first-administrator.ts";
import type { Address } from "../http/address.ts";
import { logFor } from "../log.ts";
import { migrate } from "../migrations/migrate.ts";
import type { DataFolder } from "../postgres/data-folder.ts";
import type { Service } from "../service.ts";
import { apiDeclaration } from "../settings/api.ts";
import { readSettings } from "../settings/read-settings.ts";
import { workerDeclaration } from "../settings/worker.ts";
import { openDatabases } from "./databases.ts";
import { keepDemoKey, readDemoKey } from "./demo-key.ts";
import { greeting } from "./greeting.ts";
import { type Parts, parts } from "./parts.ts";
import { requireFreePort } from "./require-free-port.ts";
import { forgetRunning, noteRunning } from "./running.ts";
import { type Demo, demoOwner, seedDemo } from "./seed-demo.ts";

const log = logFor("start");

export interface Product {
  /** What to tell the person who started it. */
  readonly greeting: string;
  stop(): Promise<void>;
}

/** Starts all parts; when one fails, those that were started are stopped. */
export async function start(
  env: NodeJS.ProcessEnv = process.env,
  { startApi, startWorker }: Parts = parts,
): Promise<Product> {
  const started: Service[] = [];
  const stop = () => stopInReverse(started);
  try {
    const { host, port, metricsHost, metricsPort } = readSettings(env, apiDeclaration);
    const http = workerAddress(env);
    await requireFreePort({ host, port }, "API_PORT");
    if (http) await requireFreePort(http, "WORKER_PORT");
    const metrics = metricsPort && { host: metricsHost, port: metricsPort };
    if (metrics) await requireFreePort(metrics, "API_METRICS_PORT");
    const databases = await openDatabases(env);
    const { data, jwtSecretFile } = databases;
    started.push({ name: "database", stop: databases.stop });
    await migrate(databases.admin);
    await databases.createLogins();
    const api = await startApi({
      databaseUrl: databases.api,
      ...{ host, port },
      jwtSecretFile,
      env,
    });
    started.push(api);
    const worker = await startWorker({ databaseUrl: databases.worker, http, env });
    started.push(worker);
    // Last, because secrets are created and shown once: a start that fails must not create them.
    const demo = await demoOf(databases.admin, data);
    const administrator = await firstAdministrator(databases.admin);
    if (data) started.push(noteService(data.running, api.url ?? "", worker.url));
    const facts = { psql: databases.psql, apiUrl: api.url, administrator, demo, data, env };
    return { greeting: greeting(facts), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Here it listens only where a port is set. */
function workerAddress(env: NodeJS.ProcessEnv): Address | undefined {
  const { host, port } = readSettings(env, workerDeclaration);
  return env[workerDeclaration.port.variable] ? { host, port } : undefined;
}

/** The demo's key is shown again where its database keeps it. */
async function demoOf(adminUrl: string, data: DataFolder | undefined): Promise<Demo | undefined> {
  const made = await seedDemo(adminUrl);
  if (data === undefined) return made;
  if (made) keepDemoKey(data.demoKey, made.apiKey);
  const apiKey = readDemoKey(data.demoKey);
  return apiKey === undefined ? undefined : { apiKey, owner: demoOwner };
}

function noteService(file: string, apiUrl: string, workerUrl: string | undefined): Service {
  const startedAt = new Date().toISOString();
  noteRunning(file, { pid: process.pid, startedAt, apiUrl, ...(workerUrl && { workerUrl }) });
  return { name: "note", stop: async () => forgetRunning(file) };
}

async function stopInReverse(started: Service[]): Promise<void> {
  for (let service = started.pop(); service !== undefined; service = started.pop()) {
    log.debug({ service: service.name }, "stopping");
    await service
      .stop()
      .catch((err: unknown) => log.error({ err }, `${service.name} did not stop`));
  }
}
