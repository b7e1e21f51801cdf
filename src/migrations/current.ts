import { readFile } from "node:fs/promises";
import { projectPath } from "../paths.ts";

export async function currentIsEmpty(): Promise<boolean> {
  return isBlank(await readFile(projectPath("db/current.sql"), "utf8"));
}

/** Whether a migration has only blank lines and comments; an include is not a comment. */
export function isBlank(migration: string): boolean {
  return migration.split("\n").every((line) => /^\s*(--(?!!\s*include\b).*)?$/.test(line));
}
