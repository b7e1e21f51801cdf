import type { Command } from "commander";
import type { DecideOptions } from "../decide/decide-command.ts";
import { coloured } from "../output/colours.ts";

/** What check and consume have in common: they differ in whether they take anything. */
export function decideBy(command: Command, call: "check" | "consume"): void {
  command
    .argument(
      "<operation>",
      "such as read_medium; an unknown one is answered with all that there are",
    )
    .argument("[size]", "of the operation: bytes, or such as 64KiB", "0")
    .option(
      "--key <api key>",
      "the application's key; else QOS_API_KEY, or the demo's of storage-qos start",
    )
    .option("--times <number>", "how often, one after the other", "1")
    .option("--json", "print one JSON object and nothing else")
    .action(async (operation: string, size: string, options: DecideOptions) => {
      const { decideCommand, deniedExitCode } = await import("../decide/decide-command.ts");
      const { text, isDenied } = await decideCommand(call, operation, size, options);
      console.log(options.json ? text : coloured(text));
      if (isDenied) process.exitCode = deniedExitCode;
    });
}
