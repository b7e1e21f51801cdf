import type { Command } from "commander";
import { decideBy } from "../decide-arguments.ts";

export function register(program: Command): void {
  const command = program
    .command("check")
    .description("ask whether an operation may run now, taking nothing");
  decideBy(command, "check");
}
