import { Command } from "commander";
import { vi } from "vitest";
import { loadCommands } from "../../src/cli/load-commands.ts";
import { reportError } from "../../src/cli/report-error.ts";
import type { CliAnswer } from "./run-cli.ts";

/** The command line without a process of its own, which takes a second to start. */
export async function runInProcess(...args: readonly string[]): Promise<CliAnswer> {
  const said: string[] = [];
  const complained: string[] = [];
  const spies = [
    vi.spyOn(console, "log").mockImplementation((line: unknown) => said.push(`${line}\n`)),
    vi.spyOn(console, "error").mockImplementation((line: unknown) => complained.push(`${line}\n`)),
  ];
  const program = new Command("storage-qos").exitOverride();
  program.configureOutput({
    outputError: () => {},
    writeOut: (text) => said.push(text),
    writeErr: (text) => complained.push(text),
  });
  process.exitCode = undefined;
  try {
    await loadCommands(program, args[0]);
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    process.exitCode = reportError(error);
  }
  const code = Number(process.exitCode ?? 0);
  process.exitCode = undefined;
  for (const spy of spies) spy.mockRestore();
  return { code, stdout: said.join(""), stderr: complained.join("") };
}
