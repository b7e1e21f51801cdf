import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("commit")
    .description("turn db/current.sql into the next committed migration")
    .requiredOption("-m, --message <text>", "what the migration does; becomes part of its name")
    .action(async ({ message }: { message: string }) => {
      const { commitMigration } = await import("../../migrations/commit.ts");
      await commitMigration(message);
      console.log("committed: see db/committed");
    });
}
