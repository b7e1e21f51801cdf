import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("diagram")
    .description("write the tables and the entity diagram of docs/data-model.md from the catalog")
    .action(async () => {
      const { readFile, writeFile } = await import("node:fs/promises");
      const { diagram, withDiagram, withGenerated } = await import("../../migrations/diagram.ts");
      const { tableSections } = await import("../../migrations/table-sections.ts");
      const { projectPath } = await import("../../paths.ts");
      const { withThrowawayDatabase } = await import("../../migrations/throwaway-database.ts");
      const page = projectPath("docs/data-model.md");
      const [drawn, tables] = await withThrowawayDatabase(async ({ sql }) => [
        await diagram(sql),
        await tableSections(sql),
      ]);
      const text = withDiagram(await readFile(page, "utf8"), drawn);
      await writeFile(page, withGenerated(text, "the tables", tables));
      console.log("wrote docs/data-model.md");
    });
}
