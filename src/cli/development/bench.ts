import type { Command } from "commander";
import type { BenchOptions } from "../../bench/bench-command.ts";

export function register(program: Command): void {
  program
    .command("bench")
    .description("measure decisions against floors and peers, side by side in one run")
    .option("--quick", "two minutes: short rounds, and nothing that grows")
    .option("--only <ratio...>", "measure these ratios or workloads alone")
    .option("--json <file>", "write machine, floors, ratios and detail as JSON")
    .option("--report <file>", "write a Markdown report, with charts/ beside it")
    .option("--minutes <number>", "length of the sustained run, without --quick", "15")
    .option("--rounds <number>", "how often each workload is measured (default: 7, 2 with --quick)")
    .option(
      "--ledger-rows <number>",
      "rows that a ledger grows to at most, without --quick; it stops before a local disk is 80% full",
      "1000000",
    )
    .option(
      "--growth",
      "what jobs read and write among more and more applications, and nothing else",
    )
    .option(
      "--sizes <number...>",
      "with --growth: applications in each of five groups (default: 1000 10000)",
    )
    .option("--busy <number>", "with --growth: how many of them are busy", "100")
    .action(async (options: BenchOptions) => {
      const { benchCommand } = await import("../../bench/bench-command.ts");
      console.log(await benchCommand(options));
    });
}
