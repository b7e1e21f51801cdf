import { CommanderError } from "commander";
import { coloured } from "../output/colours.ts";
import { describeError, errorLines } from "../output/describe-error.ts";
import { printableLines } from "../output/printable.ts";
import { UserError } from "../user-error.ts";

/** Prints the error and its hint; answers the exit code. */
export function reportError(error: unknown): number {
  if (error instanceof CommanderError) return reportUsage(error);
  tell(printableLines(describeError(error)));
  return error instanceof UserError ? error.exitCode : 1;
}

/** Help that was asked for has been printed already. */
function reportUsage({ code, exitCode, message }: CommanderError): number {
  if (code.startsWith("commander.help") || exitCode === 0) return exitCode;
  const hint = "Run the command with --help to see what it takes.";
  const said = message.replace(/^error: /, "").replaceAll("\n", " ");
  tell(errorLines(`${said} (bad_usage)`, undefined, hint));
  return 2;
}

function tell(text: string): void {
  console.error(coloured(text, process.stderr));
}
