import { readFileSync } from "node:fs";
import { join } from "node:path";

const folder = join(import.meta.dirname, "scripts");

/** A script in pgbench's language, of which it uses `:name` and `\gset`. */
export interface Script {
  readonly name: string;
  readonly text: string;
}

/** One statement of a script for a driver that knows `$1` only. */
export interface Statement {
  readonly text: string;
  /** Variables in the order of `$1`, `$2`… */
  readonly variables: readonly string[];
  /** Whether its row is kept as variables (`\gset`). */
  readonly keeps: boolean;
}

export function readScript(name: string): Script {
  const text = readFileSync(join(folder, `${name}.sql`), "utf8");
  return { name, text };
}

/** Every statement ends a line with `;` or `\gset`. */
export function statementsOf(script: Script): Statement[] {
  const withoutComments = script.text.replaceAll(/^--.*\n/gm, "");
  return [...withoutComments.matchAll(/([^;\\]+?)\s*(;|\\gset)\s*(?:\n|$)/g)].map(
    ([, text = "", end]) => toStatement(text.trim(), end === "\\gset"),
  );
}

function toStatement(text: string, keeps: boolean): Statement {
  const variables: string[] = [];
  const numbered = text.replaceAll(/(?<!:):([a-z_]+)\b/g, (_, name: string) => {
    if (!variables.includes(name)) variables.push(name);
    return `$${variables.indexOf(name) + 1}`;
  });
  return { text: numbered, variables, keeps };
}
