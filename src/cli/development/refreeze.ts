import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("refreeze")
    .description("rewrite the committed migrations with the current fixtures")
    .action(async () => {
      const { refreeze } = await import("../../migrations/refreeze.ts");
      const changed = refreeze();
      console.log(changed.length === 0 ? "nothing changed" : changed.join("\n"));
    });
}
