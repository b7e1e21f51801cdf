import { readFile } from "node:fs/promises";
import { projectPath } from "../paths.ts";

/** Whether db/current.sql holds nothing but blank lines and comments; an include is no comment. */
export async function currentIsEmpty(): Promise<boolean> {
  const text = await readFile(projectPath("db/current.sql"), "utf8");
  return text.split("\n").every((line) => /^\s*(--(?!!\s*include).*)?$/.test(line));
}
