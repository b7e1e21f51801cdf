import type { Command } from "commander";
import { helpText } from "../../settings/help-text.ts";
import { localDeclaration } from "../../settings/local.ts";
import { loggingDeclaration } from "../../settings/logging.ts";
import { tracingDeclaration } from "../../settings/tracing.ts";

export function register(program: Command): void {
  program
    .command("start")
    .description("run database, API and worker until Ctrl-C")
    .addHelpText("after", () => helpText(localDeclaration, loggingDeclaration, tracingDeclaration))
    .action(async () => {
      const { start } = await import("../../start/start.ts");
      const { startTracing } = await import("../../tracing/start-tracing.ts");
      const { runUntilStopped } = await import("../run-until-stopped.ts");
      const tracing = await startTracing("storage-qos");
      const product = await start();
      console.log(product.greeting);
      await runUntilStopped(product, tracing);
    });
}
