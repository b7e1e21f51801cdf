import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("build-server")
    .description("write the npm package of the server and the command line into a folder")
    .option("--to <folder>", "where to write it; what is there is replaced", ".cache/server")
    .action(async ({ to }: { to: string }) => {
      const { buildServer } = await import("../../packaging/build-server.ts");
      await buildServer(to);
      console.log(`wrote ${to}`);
    });
}
