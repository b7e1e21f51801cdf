import { Command } from "commander";
import { loadCommands } from "./load-commands.ts";
import { reportError } from "./report-error.ts";

const program = new Command("storage-qos")
  .description("Rate limiting and quality of service for storage clusters")
  .showSuggestionAfterError()
  // reportError() tells wrong usage in the same way as everything else.
  .configureOutput({ outputError: () => {} })
  .exitOverride();

// A reader that has seen enough, such as head, is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

try {
  await loadCommands(program, process.argv[2]);
  await program.parseAsync();
} catch (error) {
  process.exitCode = reportError(error);
}
