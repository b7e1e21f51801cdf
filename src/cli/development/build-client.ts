import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("build-client")
    .description("write the client's npm package into a folder")
    .option("--to <folder>", "where to write it", ".cache/client")
    .action(async ({ to }: { to: string }) => {
      const { buildClient } = await import("../../packaging/build-client.ts");
      await buildClient(to);
      console.log(`wrote ${to}`);
    });
}
