import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("uncommit")
    .description("turn the last committed migration back into db/current.sql")
    .action(async () => {
      const { uncommitMigration } = await import("../../migrations/commit.ts");
      await uncommitMigration();
      console.log("restored: see db/current.sql");
    });
}
