import type { Command } from "commander";
import { resources } from "../../resources/resources.ts";

/** What can follow a command: its subcommands, its options, and the kinds where it takes one. */
export interface Words {
  readonly command: string;
  readonly says: string;
  readonly words: readonly string[];
  readonly options: readonly string[];
}

export function wordsOf(program: Command): Words[] {
  return program.commands.map((command) => ({
    command: command.name(),
    says: command.description(),
    words: [...command.commands.map((child) => child.name()), ...kindsFor(command)],
    options: [command, ...command.commands].flatMap(({ options }) =>
      options.flatMap(({ long }) => (long ? [long] : [])),
    ),
  }));
}

function kindsFor(command: Command): string[] {
  if (command.registeredArguments[0]?.name() !== "kind") return [];
  const action = command.name();
  const able = resources.filter(
    (each) => !["create", "set", "delete"].includes(action) || each[action as "set"] !== undefined,
  );
  return able.map(({ name, plural }) => (action === "get" ? plural : name));
}
