import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serverAccount } from "./account.ts";
import { findBinaries } from "./binaries.ts";
import { createCluster, giveTo } from "./cluster.ts";
import { freePort } from "./free-port.ts";
import type { TestServer } from "./provider.ts";
import { startServer } from "./server.ts";

/** Nobody misses its data after a power cut, so nothing waits for a disk. */
const settings = {
  fsync: "off",
  full_page_writes: "off",
  synchronous_commit: "off",
  max_connections: "200",
  shared_preload_libraries: "pg_stat_statements",
};

/** An embedded server of its own in a temporary folder. */
export async function startThrowawayServer(): Promise<TestServer> {
  const account = serverAccount();
  const binaries = findBinaries(account);
  const home = mkdtempSync(join(tmpdir(), "storage-qos-"));
  giveTo(account, home);
  const removeHome = () => rmSync(home, { recursive: true, force: true });
  try {
    const superuserPassword = crypto.randomUUID();
    const folder = join(home, "data");
    await createCluster({ binaries, account, folder, superuserPassword, durable: false });
    const port = await freePort();
    const logFile = join(home, "postgres.log");
    const server = await startServer({ binaries, account, folder, port, logFile, settings });
    // A program that ends without stopping it: the server goes by itself, its files here.
    process.once("exit", removeHome);
    return {
      url: `postgres://postgres:${superuserPassword}@127.0.0.1:${port}/postgres`,
      async stop() {
        await server.stop();
        process.off("exit", removeHome);
        removeHome();
      },
    };
  } catch (error) {
    removeHome();
    throw error;
  }
}
