import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../user-error.ts";
import { serverAccount } from "./account.ts";
import { findBinaries } from "./binaries.ts";
import { type ClusterSpec, createCluster, giveTo } from "./cluster.ts";
import { type ClusterImage, copyCluster } from "./cluster-image.ts";
import { freePort } from "./free-port.ts";
import type { ScratchServer } from "./scratch-server.ts";
import { type RunningServer, startServer } from "./server.ts";

/** The data is disposable, so nothing waits for the disk. */
const settings = {
  fsync: "off",
  full_page_writes: "off",
  synchronous_commit: "off",
  max_connections: "200",
  shared_preload_libraries: "pg_stat_statements",
};

const portAttempts = 5;

export interface ThrowawayServer extends ScratchServer {
  /** Shuts the server down and hands its data over before they go. */
  stopAndKeep(keep: (cluster: string) => Promise<void>): Promise<void>;
}

/** An embedded server of its own in a temporary folder: empty, or a copy of the image. */
export async function startThrowawayServer(
  image?: ClusterImage,
  overrides: Readonly<Record<string, string>> = {},
): Promise<ThrowawayServer> {
  const account = serverAccount();
  const home = mkdtempSync(join(tmpdir(), "storage-qos-"));
  giveTo(account, home);
  const cluster: ClusterSpec = {
    ...{ binaries: findBinaries(account), account, folder: join(home, "data"), durable: false },
    superuserPassword: image?.password ?? crypto.randomUUID(),
  };
  const removeHome = () => rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  try {
    await (image ? copyCluster(image.folder, cluster.folder) : createCluster(cluster));
    const server = await startSomewhere(cluster, join(home, "postgres.log"), overrides);
    // A program that ends without stopping it: the server goes by itself, its files here.
    process.once("exit", removeHome);
    const stopAndKeep = async (keep: (folder: string) => Promise<void>) => {
      await server.stop();
      await keep(cluster.folder);
      process.off("exit", removeHome);
      removeHome();
    };
    return {
      url: `postgres://postgres:${cluster.superuserPassword}@127.0.0.1:${server.port}/postgres`,
      stopAndKeep,
      stop: () => stopAndKeep(async () => {}),
    };
  } catch (error) {
    removeHome();
    throw error;
  }
}

/** Between asking for a free port and taking it, another program may have been faster. */
async function startSomewhere(
  cluster: ClusterSpec,
  logFile: string,
  overrides: Readonly<Record<string, string>>,
): Promise<RunningServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startServer({
        ...{ ...cluster, port: await freePort(), logFile },
        settings: { ...settings, ...overrides },
      });
    } catch (error) {
      const taken = error instanceof UserError && error.code === "port_in_use";
      if (!taken || attempt === portAttempts) throw error;
    }
  }
}
