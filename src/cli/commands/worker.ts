import type { Command } from "commander";
import { archiveDeclaration } from "../../settings/archive.ts";
import { helpText } from "../../settings/help-text.ts";
import { loggingDeclaration } from "../../settings/logging.ts";
import { tracingDeclaration } from "../../settings/tracing.ts";
import {
  alertDeclaration,
  healthDeclaration,
  invitationDeclaration,
  workerDeclaration,
} from "../../settings/worker.ts";

export function register(program: Command): void {
  program
    .command("worker")
    .description("run the jobs of WORKER_DATABASE_URL, until Ctrl-C")
    .addHelpText("after", () =>
      helpText(
        workerDeclaration,
        archiveDeclaration,
        alertDeclaration,
        invitationDeclaration,
        healthDeclaration,
        loggingDeclaration,
        tracingDeclaration,
      ),
    )
    .action(async () => {
      const { databaseUrl } = await import("../../targets/database-url.ts");
      const { urlFrom } = await import("../../postgres/url.ts");
      const { startTracing } = await import("../../tracing/start-tracing.ts");
      const { runUntilStopped } = await import("../run-until-stopped.ts");
      const { startWorker } = await import("../../worker/worker.ts");
      const { workerSettings } = await import("../../worker/settings.ts");
      const { env } = process;
      const tracing = await startTracing("storage-qos-worker");
      const worker = await startWorker({
        databaseUrl: urlFrom(env, "WORKER_DATABASE_URL") ?? databaseUrl(env),
        http: workerSettings(env).address,
      });
      console.log(`worker runs; metrics and health: ${worker.url}`);
      await runUntilStopped(worker, tracing);
    });
}
