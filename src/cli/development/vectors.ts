import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("vectors")
    .description("answer golden vector files in a throw-away database, a JSON line each")
    .argument("<files...>", "vector files")
    .option("--check", "compare with what the files expect instead; exit 1 on any difference")
    .action(async (paths: string[], { check = false }: { check?: boolean }) => {
      const { runVectors } = await import("../../vectors/vectors.ts");
      const passed = await runVectors({ paths, check, print: console.log, tell: console.error });
      if (!passed) process.exitCode = 1;
    });
}
