import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("worker")
    .description("run the jobs of WORKER_DATABASE_URL, until Ctrl-C")
    .action(async () => {
      const { databaseUrl } = await import("../database-url.ts");
      const { urlFrom } = await import("../../postgres/url.ts");
      const { runUntilStopped } = await import("../run-until-stopped.ts");
      const { startWorker } = await import("../../worker/worker.ts");
      const { workerAddress } = await import("../../worker/address.ts");
      const { env } = process;
      const worker = await startWorker({
        databaseUrl: urlFrom(env, "WORKER_DATABASE_URL") ?? databaseUrl(env),
        http: workerAddress(env),
      });
      console.log(`worker runs; metrics and health: ${worker.url}`);
      await runUntilStopped(worker);
    });
}
