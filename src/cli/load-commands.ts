import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import type { Command } from "commander";
import { codeExtension } from "../paths.ts";
import { headingOf, inOrder } from "./command-groups.ts";
import { exitCodesHelp } from "./exit-codes.ts";

/** What each file of commands/ and development/ exports: it adds its command to the program. */
interface CommandFile {
  register(program: Command): void;
}

type Load = (name: string) => Promise<CommandFile>;

const folders: Readonly<Record<string, Load>> = {
  commands: (name) => import(`./commands/${name}.ts`),
  // Left out of the package.
  development: (name) => import(`./development/${name}.ts`),
};

/** Loads the one command that was asked for; all of them only for help. */
export async function loadCommands(program: Command, asked: string | undefined): Promise<void> {
  const all = new Map(
    Object.entries(folders).flatMap(([folder, load]) =>
      namesIn(folder).map((name) => [name, load] as const),
    ),
  );
  for (const name of all.has(asked ?? "") ? [asked ?? ""] : inOrder([...all.keys()])) {
    (await all.get(name)?.(name))?.register(program);
    program.commands.at(-1)?.helpGroup(headingOf(name)).addHelpText("after", exitCodesHelp(name));
  }
}

function namesIn(folder: string): string[] {
  const path = join(import.meta.dirname, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .filter((file) => file.endsWith(codeExtension))
    .map((file) => basename(file, codeExtension));
}
