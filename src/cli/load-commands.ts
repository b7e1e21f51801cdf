import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";

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
  for (const name of names.includes(asked ?? "") ? [asked] : names) {
    const file: CommandFile = await import(`./commands/${name}.ts`);
    file.register(program);
  }
}
