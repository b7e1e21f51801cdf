import type { Command } from "commander";
import { decideBy } from "../decide-arguments.ts";

export function register(program: Command): void {
  const command = program
    .command("consume")
    .description("decide on an operation, and take what it costs");
  decideBy(command, "consume");
}
