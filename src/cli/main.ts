import { Command, CommanderError } from "commander";
import { loadCommands } from "./load-commands.ts";
import { reportError } from "./report-error.ts";

const program = new Command("storage-qos")
  .description("Rate limiting and quality of service for storage clusters")
  .showSuggestionAfterError()
  .exitOverride();

try {
  await loadCommands(program, process.argv[2]);
  await program.parseAsync();
} catch (error) {
  process.exitCode = error instanceof CommanderError ? error.exitCode : reportError(error);
}
