import type { Command } from "commander";
import type { BenchOptions } from "../../bench/bench-command.ts";

export function register(program: Command): void {
  program
    .command("bench")
    .description("measure decisions against floors and peers, side by side in one run")
    .option("--quick", "two minutes: short rounds, and nothing that grows")
    .option("--only <ratio...>", "measure these ratios alone")
    .option("--json <file>", "write machine, floors, ratios and detail as JSON")
    .option("--report <file>", "write a Markdown report, with charts/ beside it")
    .option("--minutes <number>", "length of the sustained run, without --quick", "15")
    .action(async (options: BenchOptions) => {
      const { benchCommand } = await import("../../bench/bench-command.ts");
      console.log(await benchCommand(options));
    });
}
