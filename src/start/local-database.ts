import { serverAccount } from "../postgres/account.ts";
import { type DataFolder, locateDataFolder } from "../postgres/data-folder.ts";
import { findPassword } from "../postgres/pgpass.ts";
import { runningPostmaster } from "../postgres/postmaster.ts";
import { UserError } from "../user-error.ts";

export const localDatabaseName = "storage_qos";

/** The database that `npm start` made on this machine, while its server runs. */
export interface LocalDatabase {
  readonly data: DataFolder;
  readonly port: number;
  readonly pid: number;
  /** Undefined for a login without a password in the data folder. */
  urlOf(login: string): string | undefined;
}

/** Undefined where it does not run. Changes nothing. */
export function findLocalDatabase(env: NodeJS.ProcessEnv): LocalDatabase | undefined {
  const data = localDataFolder(env);
  const server = readable(data, () => runningPostmaster(data.cluster));
  if (!server?.ready) return undefined;
  const { pid, port } = server;
  return {
    ...{ data, port, pid },
    urlOf(login) {
      const password = readable(data, () => findPassword(data.passwords, login));
      if (password === undefined) return undefined;
      return `postgres://${login}:${password}@127.0.0.1:${port}/${localDatabaseName}`;
    },
  };
}

export function localDataFolder(env: NodeJS.ProcessEnv): DataFolder {
  return locateDataFolder(serverAccount(), env);
}

function readable<T>(data: DataFolder, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EACCES") throw cause;
    throw new UserError(
      "data_folder_unreadable",
      `data folder ${data.folder} cannot be read by this account`,
      "Run this as the account that runs storage-qos start, or set DATABASE_URL.",
      { cause },
    );
  }
}
