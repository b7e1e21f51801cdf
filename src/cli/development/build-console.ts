import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("build-console")
    .description(
      "build the console, as the API does before its first visitor where it is not built",
    )
    .action(async () => {
      const { buildConsoleHere } = await import("../../api/console/build-console.ts");
      console.log(`the console is in ${await buildConsoleHere()}`);
    });
}
