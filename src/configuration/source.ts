import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { InputError } from "../user-error.ts";

/** A file as it was read. */
export interface Source {
  readonly file: string;
  readonly text: string;
}

const extensions = /\.(ya?ml|json)$/;

/** Of files, of all that folders hold, and of standard input, which is `-`. */
export async function readSources(paths: readonly string[]): Promise<Source[]> {
  const files = paths.flatMap((path) => (path === "-" ? [path] : filesOf(path)));
  return Promise.all(
    files.map(async (file) =>
      file === "-"
        ? { file: "stdin", text: await text(process.stdin) }
        : { file, text: readFileSync(file, "utf8") },
    ),
  );
}

function filesOf(path: string): string[] {
  if (!isFolder(path)) return [path];
  const files = readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => extensions.test(name))
    .sort()
    .map((name) => join(path, name));
  if (files.length > 0) return files;
  throw new InputError(
    "configuration_missing",
    `${path} has no configuration`,
    "Name a folder with files that end in .yaml, .yml or .json.",
  );
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch (cause) {
    throw new InputError(
      "configuration_unreadable",
      `${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`,
      "Name a file, a folder, or - for standard input.",
      { cause },
    );
  }
}
