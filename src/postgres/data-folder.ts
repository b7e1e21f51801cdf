import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { usualDataFolder } from "../paths.ts";
import { localDeclaration } from "../settings/local.ts";
import { readSettings } from "../settings/read-settings.ts";
import { UserError } from "../user-error.ts";
import { type Account, canReach } from "./account.ts";
import { clusterExists } from "./cluster.ts";
import { sharedFolder } from "./shared-folder.ts";

/** The major version of the embedded PostgreSQL. */
const majorVersion = "18";

/** All that an embedded server keeps between two starts. */
export interface DataFolder {
  readonly folder: string;
  readonly cluster: string;
  readonly passwords: string;
  /** PostgreSQL's log. */
  readonly log: string;
  /** The log of the API and the worker that `npm start` runs. */
  readonly serviceLog: string;
  /** What runs on this data now. */
  readonly running: string;
  /** The API key of the demo. */
  readonly demoKey: string;
}

export function dataFolderAt(folder: string): DataFolder {
  return {
    folder,
    cluster: join(folder, "pgdata"),
    passwords: join(folder, "pgpass"),
    log: join(folder, "postgres.log"),
    serviceLog: join(folder, "storage-qos.log"),
    running: join(folder, "running.json"),
    demoKey: join(folder, "demo-key"),
  };
}

/** Where the data lies: QOS_DATA_FOLDER, else the usual folder. */
export function locateDataFolder(
  account: Account | undefined,
  env: NodeJS.ProcessEnv = process.env,
): DataFolder {
  const { dataFolder } = readSettings(env, localDeclaration);
  if (dataFolder !== undefined) return dataFolderAt(resolve(dataFolder));
  const usual = usualDataFolder();
  if (canReach(account, usual)) return dataFolderAt(usual);
  // It lies where root's server account cannot go, such as root's home.
  const key = createHash("sha256").update(usual).digest("hex").slice(0, 12);
  return dataFolderAt(join(sharedFolder(), `data-${key}`));
}

/** Makes the folder if need be, and refuses one that no server could use. */
export function prepareDataFolder(data: DataFolder, account: Account | undefined): void {
  try {
    mkdirSync(data.folder, { recursive: true, mode: 0o755 });
    accessSync(data.folder, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw unusable(data, (cause as Error).message, { cause });
  }
  if (!canReach(account, data.cluster)) {
    throw unusable(
      data,
      `the account ${account?.uid} that root runs PostgreSQL as cannot reach it`,
    );
  }
  if (clusterExists(data.cluster)) checkCluster(data, account);
}

function checkCluster(data: DataFolder, account: Account | undefined): void {
  const owner = statSync(data.cluster).uid;
  const wanted = account?.uid ?? process.getuid?.();
  if (wanted !== undefined && owner !== wanted) {
    throw unusable(data, `it belongs to user ${owner}, and the server would run as user ${wanted}`);
  }
  if (!existsSync(data.passwords))
    throw unusable(data, "its file of passwords, pgpass, is missing");
  const version = readFileSync(join(data.cluster, "PG_VERSION"), "utf8").trim();
  if (version !== majorVersion) {
    throw unusable(data, `it was made by PostgreSQL ${version}, and this is ${majorVersion}`);
  }
}

function unusable(data: DataFolder, why: string, options?: ErrorOptions): UserError {
  return new UserError(
    "data_folder_unusable",
    `data folder ${data.folder} is unusable: ${why}`,
    "Set QOS_DATA_FOLDER to another folder, or remove this one if its data may go.",
    options,
  );
}
