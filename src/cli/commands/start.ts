import type { Command } from "commander";
import { helpText } from "../../settings/help-text.ts";
import { localDeclaration } from "../../settings/local.ts";
import { loggingDeclaration } from "../../settings/logging.ts";

export function register(program: Command): void {
  program
    .command("start")
    .description("run database, API and worker until Ctrl-C")
    .addHelpText("after", () => helpText(localDeclaration, loggingDeclaration))
    .action(async () => {
      const { start } = await import("../../start/start.ts");
      const { runUntilStopped } = await import("../run-until-stopped.ts");
      const product = await start();
      console.log(product.greeting);
      await runUntilStopped(product);
    });
}
