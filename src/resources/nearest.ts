import { Command } from "commander";

/** The names nearest to a mistyped one, as commander tells them of commands; nothing for none. */
export function nearest(word: string, names: Iterable<string>): string {
  const asking = new Command()
    .helpCommand(false)
    .helpOption(false)
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  for (const name of names) asking.command(name);
  try {
    asking.parse(["--", word], { from: "user" });
    return "";
  } catch (error) {
    return /\(Did you mean .*\?\)/s.exec((error as Error).message)?.[0] ?? "";
  }
}
