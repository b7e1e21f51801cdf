import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, test } from "vitest";
import { serverAccount } from "../../src/postgres/account.ts";
import { findBinaries } from "../../src/postgres/binaries.ts";
import { createCluster, giveTo } from "../../src/postgres/cluster.ts";
import { connect } from "../../src/postgres/connect.ts";
import { freePort } from "../../src/postgres/free-port.ts";
import { startServer } from "../../src/postgres/server.ts";

test("a server stops although a session of it does not", async () => {
  const account = serverAccount();
  const home = mkdtempSync(join(tmpdir(), "storage-qos-stop-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }));
  giveTo(account, home);
  const cluster = {
    ...{ binaries: findBinaries(account), account, folder: join(home, "data") },
    ...{ superuserPassword: crypto.randomUUID(), durable: false },
  };
  await createCluster(cluster);
  const server = await startServer({
    ...{ ...cluster, port: await freePort(), logFile: join(home, "postgres.log") },
    shutdownMs: 500,
  });
  const sql = connect(
    `postgres://postgres:${cluster.superuserPassword}@127.0.0.1:${server.port}/postgres`,
  );
  const [session] = await sql<{ pid: number }[]>`select pg_backend_pid() as pid`;
  process.kill(session?.pid ?? 0, "SIGSTOP");
  await server.stop();
  await sql.end({ timeout: 0 });
});
