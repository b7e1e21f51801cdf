import type { Command } from "commander";

export function register(program: Command): void {
  program
    .command("console-types")
    .description("write the types of the console's operations, of schema.graphql")
    .option("--check", "write nothing, and fail where they are not what they should be")
    .action(async ({ check }: { check?: boolean }) => {
      const { staleConsoleTypes, writeConsoleTypes } = await import(
        "../../dev/console/write-types.ts"
      );
      if (!check) return writeConsoleTypes();
      const { UserError } = await import("../../user-error.ts");
      const [stale] = await staleConsoleTypes();
      if (stale === undefined) return;
      const hint = "Run npm run console:types.";
      throw new UserError("console_types_stale", `${stale} is not of schema.graphql`, hint);
    });
}
