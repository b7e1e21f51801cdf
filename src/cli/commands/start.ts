import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("start")
    .description("run database, API and worker until Ctrl-C")
    .action(async () => {
      const { start } = await import("../../start/start.ts");
      const { runUntilStopped } = await import("../run-until-stopped.ts");
      const product = await start();
      console.log(product.greeting);
      await runUntilStopped(product);
    });
}
