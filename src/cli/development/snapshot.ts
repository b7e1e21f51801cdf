import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("snapshot")
    .description("write db/schema.sql from the catalog of a throw-away database")
    .action(async () => {
      const { writeFile } = await import("node:fs/promises");
      const { snapshot } = await import("../../migrations/snapshot.ts");
      const { projectPath } = await import("../../paths.ts");
      const { withThrowawayDatabase } = await import("../../migrations/throwaway-database.ts");
      const text = await withThrowawayDatabase(({ sql }) => snapshot(sql));
      await writeFile(projectPath("db/schema.sql"), text);
      console.log("wrote db/schema.sql");
    });
}
