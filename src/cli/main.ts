import { Command } from "commander";
import { loadCommands } from "./load-commands.ts";
import { reportError } from "./report-error.ts";

const program = new Command("storage-qos")
  .description("Rate limiting and quality of service for storage clusters")
  .showSuggestionAfterError()
  // reportError() tells wrong usage in the same way as everything else.
  .configureOutput({ outputError: () => {} })
  .exitOverride();

try {
  await loadCommands(program, process.argv[2]);
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportError(error);
}
