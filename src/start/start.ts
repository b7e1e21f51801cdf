import { firstAdministrator } from "../api/administrator/first-administrator.ts";
import { logFor } from "../log.ts";
import { migrate } from "../migrations/migrate.ts";
import type { Service } from "../service.ts";
import { workerAddress } from "../worker/address.ts";
import { apiAddress } from "./api-address.ts";
import { openDatabases } from "./databases.ts";
import { greeting } from "./greeting.ts";
import { type Parts, parts } from "./parts.ts";
import { seedDemo } from "./seed-demo.ts";

const log = logFor("start");

export interface Product {
  /** What to tell the person who started it. */
  readonly greeting: string;
  stop(): Promise<void>;
}

/** Starts everything; when one part fails, what had started is stopped again. */
export async function start(
  env: NodeJS.ProcessEnv = process.env,
  { startApi, startWorker }: Parts = parts,
): Promise<Product> {
  const started: Service[] = [];
  const stop = () => stopInReverse(started);
  try {
    const address = apiAddress(env);
    const databases = await openDatabases(env);
    started.push({ name: "database", stop: databases.stop });
    await migrate(databases.admin);
    await databases.createLogins();
    const { jwtSecretFile } = databases;
    const api = await startApi({ databaseUrl: databases.api, ...address, jwtSecretFile, env });
    started.push(api);
    const http = env.WORKER_PORT ? workerAddress(env) : undefined;
    started.push(await startWorker({ databaseUrl: databases.worker, http, env }));
    // Last: what is made once and shown once must not be made by a start that fails.
    const demo = await seedDemo(databases.admin);
    const administrator = await firstAdministrator(databases.admin);
    const facts = { psql: databases.psql, apiUrl: api.url, administrator, demo };
    return { greeting: greeting(facts), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function stopInReverse(started: Service[]): Promise<void> {
  for (let service = started.pop(); service !== undefined; service = started.pop()) {
    log.debug({ service: service.name }, "stopping");
    await service
      .stop()
      .catch((err: unknown) => log.error({ err }, `${service.name} did not stop`));
  }
}
