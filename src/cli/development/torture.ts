import type { Command } from "commander";
import type { TortureOptions } from "../../torture/torture-command.ts";

export function register(program: Command): void {
  program
    .command("torture")
    .description("drive the whole system under faults, and check what is left of its promises")
    .option("--seconds <number>", "how long callers ask", "60")
    .option("--seed <number>", "decides on the faults and on what is asked", "1")
    .option("--faults <number>", "how many (default: one each 2.4 seconds)")
    .option("--json <file>", "write the result as JSON")
    .option("--verbose", "say each fault as it comes")
    .action(async (options: TortureOptions) => {
      const { tortureCommand } = await import("../../torture/torture-command.ts");
      console.log(await tortureCommand(options));
    });
}
