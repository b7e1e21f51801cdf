import { CommanderError } from "commander";
import { coloured } from "../output/colours.ts";
import { describeError, errorLines } from "../output/describe-error.ts";
import { printableLines } from "../output/printable.ts";
import { UserError } from "../user-error.ts";

/** Prints the error and its hint; answers the exit code. */
export function reportError(error: unknown): number {
  if (error instanceof CommanderError) return reportUsage(error);
  tell(printableLines(describeError(error)));
  if (error instanceof UserError) return error.exitCode;
  return refused.test(String(Object(error).code)) ? 2 : 1;
}

/** What the database or the API refuses; not who asks (QS401), nor how often (QS429). */
const refused = /^QS4(?!01|29)\d\d$/;

/** Help that was asked for has been printed already. */
function reportUsage({ code, exitCode, message }: CommanderError): number {
  if (exitCode === 0) return exitCode;
  if (code === "commander.help") {
    tell(errorLines("name one of its commands (bad_usage)", undefined, "They are listed above."));
    return 2;
  }
  const hint = "Run the command with --help to see what it takes.";
  const said = message.replace(/^error: /, "").replaceAll("\n", " ");
  tell(errorLines(`${said} (bad_usage)`, undefined, hint));
  return 2;
}

function tell(text: string): void {
  console.error(coloured(text, process.stderr));
}
