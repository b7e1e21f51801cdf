import { readdirSync } from "node:fs";
import { projectPath } from "../paths.ts";

/** By the names that the database stores: the number alone, without the message. */
export function committedMigrations(folder = projectPath("db/committed")): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".sql"))
    .map((name) => name.replace(/^(\d+)-.*(?=\.sql$)/, "$1"));
}
