import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { projectPath } from "../../src/paths.ts";

export interface SqlFile {
  /** Relative to db/fixtures. */
  readonly path: string;
  readonly text: string;
}

const folder = projectPath("db/fixtures");

/** Every SQL file under db/fixtures. */
export function fixtureFiles(): SqlFile[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".sql"))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(folder, path), "utf8") }));
}

/** The files that hold one replaceable object each. */
export function objectFiles(): SqlFile[] {
  return fixtureFiles().filter((file) => file.path.includes("/"));
}

/** The functions that tools create in databases of their own. */
export function toolFiles(): SqlFile[] {
  const folders = ["src/worlds/sql", "src/replay/sql"];
  const paths = folders.flatMap((folder) =>
    readdirSync(projectPath(folder)).map((name) => join(folder, name)),
  );
  return paths.map((path) => ({ path, text: readFileSync(projectPath(path), "utf8") }));
}

/** Committed migrations without what they froze of fixtures that live on in their own file. */
export function committedFiles(): SqlFile[] {
  const folder = projectPath("db/committed");
  return readdirSync(folder)
    .filter((path) => path.endsWith(".sql"))
    .sort()
    .map((path) => ({ path, text: withoutIncluded(readFileSync(join(folder, path), "utf8")) }));
}

function withoutIncluded(text: string): string {
  let depth = 0;
  return text
    .split("\n")
    .filter((line) => {
      const [, end, path = ""] = /^--! (End)?Included (.*)$/.exec(line) ?? [];
      if (path !== "" && existsSync(join(folder, path))) depth += end ? -1 : 1;
      return depth === 0;
    })
    .join("\n");
}

/** SQL without its comments and strings: those in single quotes, and $tag$ ones of one line. */
export function codeOnly(text: string): string {
  return text.replaceAll(/--[^\n]*|'(?:[^']|'')*'|\$(\w+)\$.*?\$\1\$/g, (match) =>
    match[0] === "-" ? "" : "''",
  );
}
