import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Command, Help } from "commander";
import { projectPath } from "../paths.ts";
import { commandGroups, groupOf, isShown } from "./command-groups.ts";

/** What each file of commands/ exports: it adds its command to the program. */
interface CommandFile {
  register(program: Command): void;
}

const folder = join(import.meta.dirname, "commands");

/** Loads the one command that was asked for; all of them only for help. */
export async function loadCommands(program: Command, asked: string | undefined): Promise<void> {
  const names = readdirSync(folder)
    .filter((file) => file.endsWith(".ts"))
    .map((file) => file.slice(0, -".ts".length));
  const ordered = Object.values(commandGroups).flat();
  for (const name of names.includes(asked ?? "") ? [asked ?? ""] : ordered) {
    const file: CommandFile = await import(`./commands/${name}.ts`);
    file.register(program);
    program.commands.at(-1)?.helpGroup(groupOf(name) ?? "");
  }
}

/** What a package or an image leaves out tells whether this is a clone. */
export function showCommands(program: Command): void {
  const isClone = existsSync(projectPath("vitest.config.ts"));
  program.configureHelp({
    visibleCommands: (command) =>
      Help.prototype.visibleCommands
        .call(program.createHelp(), command)
        .filter((each) => each.parent !== program || isShown(each.name(), isClone)),
  });
}
