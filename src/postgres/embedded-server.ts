import { setTimeout as sleep } from "node:timers/promises";
import { logFor } from "../log.ts";
import { localDeclaration } from "../settings/local.ts";
import { readSettings } from "../settings/read-settings.ts";
import { UserError } from "../user-error.ts";
import { type Account, serverAccount } from "./account.ts";
import { type Binaries, findBinaries } from "./binaries.ts";
import { clusterExists, createCluster } from "./cluster.ts";
import { type DataFolder, locateDataFolder, prepareDataFolder } from "./data-folder.ts";
import { freePort, isPortFree } from "./free-port.ts";
import { keepRunning } from "./keep-running.ts";
import { passwordFor } from "./pgpass.ts";
import { livePostmaster, type Postmaster, readPostmaster } from "./postmaster.ts";
import { portInUse } from "./server.ts";

const log = logFor("postgres");
const superuser = "postgres";
const usualPort = 54329;
const attachSeconds = 30;

export interface EmbeddedServer {
  /** The superuser's connection to the database `postgres`. */
  readonly url: string;
  readonly port: number;
  readonly data: DataFolder;
  /** False when the server was already running: the process that started it stops it. */
  readonly started: boolean;
  stop(): Promise<void>;
}

/**
 * The embedded server that keeps its data: started, or found running on the same data. `onFolder` runs when
 * the folder is there, before anything is logged.
 */
export async function openEmbeddedServer(
  env: NodeJS.ProcessEnv = process.env,
  onFolder: (data: DataFolder) => void = () => {},
): Promise<EmbeddedServer> {
  const account = serverAccount();
  const binaries = findBinaries(account);
  const data = locateDataFolder(account, env);
  prepareDataFolder(data, account);
  onFolder(data);
  const password = passwordFor(data.passwords, superuser);
  const describe = (port: number) => ({
    url: `postgres://${superuser}:${password}@127.0.0.1:${port}/postgres`,
    port,
    data,
  });

  const attach = async (running: Postmaster) => {
    await isReady(data, running);
    log.info({ port: running.port }, "using the server that already runs on this data");
    return { ...describe(running.port), started: false, stop: async () => {} };
  };

  const configured = readSettings(env, localDeclaration).postgresPort;
  const running = livePostmaster(data.cluster);
  if (running !== undefined) return attach(running);
  try {
    const server = await start(data, binaries, account, password, configured);
    return { ...describe(server.port), started: true, stop: server.stop };
  } catch (error) {
    // Another process may have been faster with the same data.
    const other = livePostmaster(data.cluster);
    if (other === undefined) throw error;
    return attach(other);
  }
}

async function start(
  data: DataFolder,
  binaries: Binaries,
  account: Account | undefined,
  superuserPassword: string,
  configuredPort: number | undefined,
) {
  if (!clusterExists(data.cluster)) {
    log.info({ folder: data.folder }, "making a new PostgreSQL data folder");
    const folder = data.cluster;
    await createCluster({ binaries, account, folder, superuserPassword, durable: true });
  }
  const startOn = (port: number) => {
    const spec = {
      ...{ binaries, account, folder: data.cluster, port, logFile: data.log },
      settings: { shared_preload_libraries: "pg_stat_statements" },
    };
    return keepRunning(spec, log, endProcess);
  };
  const port = await choosePort(configuredPort);
  return startOn(port).catch(async (error: unknown) => {
    // Another program took the free port in the meantime. One that was asked for has no substitute.
    if (configuredPort || (error as UserError).code !== "port_in_use") throw error;
    return startOn(await freePort());
  });
}

/** Without its database this process can do nothing: what watches it shall start it anew. */
function endProcess(err: unknown): void {
  log.fatal({ err }, "the embedded server cannot be started again");
  process.exitCode = 1;
  process.kill(process.pid, "SIGTERM");
}

async function choosePort(configured: number | undefined): Promise<number> {
  if (configured === undefined) return freePort(usualPort);
  if (!(await isPortFree(configured))) throw portInUse(configured);
  return configured;
}

async function isReady(data: DataFolder, running: Postmaster): Promise<void> {
  const deadline = Date.now() + attachSeconds * 1000;
  while (!readPostmaster(data.cluster)?.ready) {
    if (Date.now() > deadline) {
      throw new UserError(
        "postgres_not_ready",
        `process ${running.pid} holds ${data.cluster} but its server is not ready`,
        `Its log is ${data.log}. Stop that process, then try again.`,
      );
    }
    await sleep(20);
  }
}
