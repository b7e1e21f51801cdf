import { Command } from "commander";
import { version } from "../version.ts";
import { loadCommands } from "./load-commands.ts";
import { reportError } from "./report-error.ts";

const program = new Command("storage-qos")
  .description("Rate limiting and quality of service for storage clusters")
  .version(version, "--version", "print the version and exit")
  .showSuggestionAfterError()
  .commandsGroup("In a shell:")
  .helpCommand(true)
  // reportError() reports wrong usage in the same format as other errors.
  .configureOutput({ outputError: () => {} })
  .exitOverride();

// A reader that closes the pipe early, such as head, is not an error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

/** Runs the command line of this process. */
export async function runProgram(): Promise<void> {
  try {
    await loadCommands(program, process.argv[2]);
    await program.parseAsync();
  } catch (error) {
    process.exitCode = reportError(error);
  }
}
