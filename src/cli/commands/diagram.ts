import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("diagram")
    .description("write the entity diagram of docs/data-model.md from the catalog")
    .action(async () => {
      const { readFile, writeFile } = await import("node:fs/promises");
      const { diagram, withDiagram } = await import("../../migrations/diagram.ts");
      const { projectPath } = await import("../../paths.ts");
      const { withThrowawayDatabase } = await import("../../postgres/throwaway-database.ts");
      const page = projectPath("docs/data-model.md");
      const made = await withThrowawayDatabase(({ sql }) => diagram(sql));
      await writeFile(page, withDiagram(await readFile(page, "utf8"), made));
      console.log("wrote docs/data-model.md");
    });
}
