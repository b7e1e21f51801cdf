import type { Command } from "commander";
import type { ReplayOptions } from "../../replay/replay-command.ts";

export function register(program: Command): void {
  program
    .command("replay")
    .description("run recorded workloads against quotas: what would the limiter have done?")
    .argument(
      "<trace...>",
      "block traces (CSV) or logs (web server, S3, JSON lines), plain or gzip; - is standard input",
    )
    .option("--iops <limit:burst:seconds>", "quota of an application in tokens per second")
    .option("--bandwidth <limit:burst:seconds>", "quota of an application in bytes: 1MB:4MB:10")
    .option("--cluster-iops <limit:burst:seconds>", "quota of its cluster in tokens per second")
    .option("--cluster-bandwidth <limit:burst:seconds>", "quota of its cluster in bytes per second")
    .option(
      "--method <method>",
      "of the IOPS quotas: token_bucket, leaky_bucket or fixed_window",
      "token_bucket",
    )
    .option("--by <what>", "an application for each user, key, bucket or address of a log")
    .option("--quotas <file>", "JSON: quotas of applications by name, instead of the above")
    .option("--costs <file>", "JSON: costs of operations by name, instead of the price list")
    .option(
      "--upload-size <size>",
      "what an upload is taken for without a size in the log",
      "64KiB",
    )
    .option("--refund-5xx", "answers of 500 and above are not charged, as with QOS_REFUND_5XX")
    .option("--retries <count>", "ask again for what was throttled, after the wait told", "0")
    .option("--fail-over <share>", "exit with 3 if more than this share was throttled: 5%")
    .option("--from <operations>", "leave out so many operations at the start", "0")
    .option("--limit <operations>", "replay at most so many operations")
    .option("--json", "print one JSON object and nothing else")
    .addHelpText("after", examples)
    .action(async (paths: string[], options: ReplayOptions) => {
      const { replayCommand } = await import("../../replay/replay-command.ts");
      const { text, isOver } = await replayCommand(paths, options);
      console.log(text);
      if (isOver) process.exitCode = throttledTooMuch;
    });
}

const throttledTooMuch = 3;

const examples = `
Examples:
  storage-qos replay access.log --iops 100:400:5 --bandwidth 1MB:4MB:10
  storage-qos replay access.log.*.gz --by user --quotas quotas.json --fail-over 5%
      where quotas.json is {"alice": {"iops": "100:400:5", "bandwidth": "1MB:4MB:10"}}
  zcat s3.gz | storage-qos replay - --costs costs.json --retries 3
      where costs.json is {"read_large": {"c_base": 1, "unit_quantum": 65536, "c_bw": 0.5}}`;
