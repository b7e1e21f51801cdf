import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("settings")
    .description(
      "write what follows from src/settings and src/configuration: tables and schema of the docs, lists",
    )
    .action(async () => {
      const { writeSettings } = await import("../../settings/write-settings.ts");
      for (const path of writeSettings()) console.log(`wrote ${path}`);
    });
}
