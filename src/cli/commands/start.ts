import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("start")
    .description("start database, API and worker, and keep them until Ctrl-C")
    .action(async () => {
      const { start } = await import("../../start/start.ts");
      const { untilStopped } = await import("../until-stopped.ts");
      const product = await start();
      console.log(product.greeting);
      await untilStopped();
      await product.stop();
    });
}
