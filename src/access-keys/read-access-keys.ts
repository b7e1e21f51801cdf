import { readFile, stat } from "node:fs/promises";
import { InputError } from "../user-error.ts";
import { csvFields } from "./csv-fields.ts";

/** An entry as import_access_keys() takes it, and its line in the file. */
export interface Entry {
  readonly line: number;
  readonly access_key_id: string;
  readonly app_id: string;
  readonly name: string | null;
  readonly expires_at: string | null;
}

export const mostEntries = 10_000;
const largestFile = 8 * 1024 * 1024;

const required = ["access_key_id", "app_id"];
const optional = ["name", "expires_at"];
const columnsHint = `Begin the file with a line such as ${[...required, ...optional].join(",")}; the last two may be left out.`;

/** The access keys of a CSV file with a header. No error repeats what is in a line. */
export async function readAccessKeys(path: string): Promise<Entry[]> {
  const [header, ...lines] = (await contentOf(path)).replace(/^\ufeff/, "").split(/\r?\n/);
  const columns = columnsOf(header ?? "");
  const entries = lines.flatMap((text, place) =>
    text === "" ? [] : [entryOf(text, place + 2, columns)],
  );
  if (entries.length >= 1 && entries.length <= mostEntries) return entries;
  throw new InputError(
    "access_keys_count",
    `the file has ${entries.length} access keys`,
    `Import 1 to ${mostEntries} at a time.`,
  );
}

async function contentOf(path: string): Promise<string> {
  const isTooLarge = await stat(path).then(({ size }) => size > largestFile, unreadable);
  if (!isTooLarge) return readFile(path, "utf8").catch(unreadable);
  throw new InputError(
    "access_keys_count",
    "the file is larger than 8 MB",
    `Import 1 to ${mostEntries} at a time.`,
  );
}

function unreadable(error: NodeJS.ErrnoException): never {
  throw new InputError(
    "access_keys_unreadable",
    `the file cannot be read (${error.code})`,
    "Check that the path names a file and that you may read it.",
    { cause: error },
  );
}

function columnsOf(header: string): string[] {
  const columns = csvFields(header) ?? [];
  const unknown = columns.some((name) => ![...required, ...optional].includes(name));
  const missing = required.some((name) => !columns.includes(name));
  if (!unknown && !missing && new Set(columns).size === columns.length) return columns;
  throw new InputError("access_keys_header", "the columns of the file do not fit", columnsHint);
}

function entryOf(text: string, line: number, columns: readonly string[]): Entry {
  const fields = csvFields(text);
  if (fields?.length !== columns.length) {
    throw new InputError(
      "access_keys_bad_line",
      `line ${line} does not have the ${columns.length} columns of the first line`,
      'Quote a field with a comma or a quote in it: "a,b", "say ""a""".',
    );
  }
  const field = (name: string) => fields[columns.indexOf(name)]?.trim() || null;
  return {
    line,
    access_key_id: field("access_key_id") ?? "",
    app_id: field("app_id") ?? "",
    name: field("name"),
    expires_at: field("expires_at"),
  };
}
