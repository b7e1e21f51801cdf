import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("settings")
    .description("write what follows from src/settings: tables of the docs, the gateway's lists")
    .action(async () => {
      const { writeSettings } = await import("../../settings/write-settings.ts");
      for (const path of writeSettings()) console.log(`wrote ${path}`);
    });
}
