import type { Command } from "commander";
import type { ReplayOptions } from "../../replay/replay-command.ts";

export function register(program: Command): void {
  program
    .command("replay")
    .description("run a recorded workload against quotas: what would the limiter have done?")
    .argument("<trace>", "block trace (CSV) or web access log (combined format), plain or gzip")
    .option("--iops <limit:burst:seconds>", "quota of the application in tokens per second")
    .option("--bandwidth <limit:burst:seconds>", "quota of the application in bytes per second")
    .option("--cluster-iops <limit:burst:seconds>", "quota of its cluster in tokens per second")
    .option("--cluster-bandwidth <limit:burst:seconds>", "quota of its cluster in bytes per second")
    .option(
      "--method <method>",
      "of the IOPS quotas: token_bucket, leaky_bucket or fixed_window",
      "token_bucket",
    )
    .option("--from <operations>", "leave out so many operations at the start", "0")
    .option("--limit <operations>", "replay at most so many operations")
    .option("--json", "print one JSON object and nothing else")
    .action(async (path: string, options: ReplayOptions) => {
      const { replayCommand } = await import("../../replay/replay-command.ts");
      console.log(await replayCommand(path, options));
    });
}
