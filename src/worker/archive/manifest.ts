import { open, readFile, rename } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { InputError } from "../../user-error.ts";
import { type Contents, flushFolder, readCompressed } from "./compressed-lines.ts";

const format = "storage-qos archive 1";

/** Lies beside the file that it describes, and is written after it: a file without one is none. */
export interface Manifest extends Contents {
  readonly format: string;
  readonly file: string;
  readonly data_type: string;
  /** The table that the rows come from and go back to. */
  readonly relation: string;
  readonly partition: string | null;
  readonly cutoff: string;
  readonly min_time: string | null;
  readonly max_time: string | null;
  readonly exported_at: string;
}

export type ManifestFacts = Omit<Manifest, "format" | "file" | "exported_at">;

export function manifestPath(file: string): string {
  return file.replace(/\.csv\.gz$/, ".manifest.json");
}

export async function writeManifest(file: string, facts: ManifestFacts): Promise<Manifest> {
  const exported_at = new Date().toISOString();
  const manifest: Manifest = { format, file: basename(file), ...facts, exported_at };
  const path = manifestPath(file);
  const draft = `${path}.${process.pid}.partial`;
  const handle = await open(draft, "w", 0o600);
  try {
    await handle.writeFile(`${JSON.stringify(manifest, null, 2)}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(draft, path);
  await flushFolder(dirname(path));
  return manifest;
}

export async function readManifest(path: string): Promise<Manifest> {
  const text = await readFile(path, "utf8").catch((cause) => {
    throw new InputError("manifest_unreadable", `${path} cannot be read`, undefined, { cause });
  });
  const manifest = parse(text);
  if (manifest?.format !== format) {
    throw new InputError(
      "manifest_invalid",
      `${path} is no manifest of an archive`,
      "Name the .manifest.json that lies beside the archive's file.",
    );
  }
  return manifest;
}

function parse(text: string): Manifest | undefined {
  try {
    return JSON.parse(text) as Manifest;
  } catch {
    return undefined;
  }
}

/** Reads the whole file back and compares it with its manifest; answers where the file is. */
export async function verifyArchive(path: string): Promise<{ file: string; manifest: Manifest }> {
  const manifest = await readManifest(path);
  const file = join(dirname(path), basename(manifest.file));
  const found = await readCompressed(file).catch((cause) => {
    throw damaged(file, "cannot be read", cause);
  });
  for (const key of ["sha256", "content_sha256", "rows", "bytes"] as const) {
    if (found[key] !== manifest[key]) throw damaged(file, `has another ${key} than its manifest`);
  }
  return { file, manifest };
}

function damaged(file: string, what: string, cause?: unknown): InputError {
  return new InputError(
    "archive_damaged",
    `${file} ${what}`,
    "Take it from a backup of the archive.",
    { cause },
  );
}
