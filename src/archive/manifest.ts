import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { posix } from "node:path";
import { text } from "node:stream/consumers";
import { InputError } from "../user-error.ts";
import type { ArchivedColumn } from "./columns.ts";
import { type Contents, readCompressed } from "./compressed-lines.ts";
import type { ArchiveStore } from "./store.ts";
import { withTempFile } from "./temp-file.ts";

const format = "storage-qos archive 1";

/**
 * Is beside the file that it describes, and written after it: a file without a manifest does not
 * count.
 */
export interface Manifest extends Contents {
  readonly format: string;
  readonly file: string;
  readonly data_type: string;
  /** The table that the rows come from and go back to. */
  readonly relation: string;
  readonly partition: string | null;
  /** As the file's first line names them. */
  readonly columns: readonly ArchivedColumn[];
  readonly cutoff: string;
  readonly min_time: string | null;
  readonly max_time: string | null;
  readonly exported_at: string;
}

export type ManifestFacts = Omit<Manifest, "format" | "file" | "exported_at">;

export function manifestName(file: string): string {
  return file.replace(/\.csv\.gz$/, ".manifest.json");
}

export async function writeManifest(
  store: ArchiveStore,
  file: string,
  facts: ManifestFacts,
): Promise<void> {
  const exported_at = new Date().toISOString();
  const manifest: Manifest = { format, file: posix.basename(file), ...facts, exported_at };
  const content = `${JSON.stringify(manifest, null, 2)}\n`;
  const name = manifestName(file);
  await withTempFile(store, name, async (tempFile) => {
    const handle = await open(tempFile, "w", 0o600);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await store.put(name, tempFile, createHash("sha256").update(content).digest("hex"));
  });
}

export async function readManifest(store: ArchiveStore, name: string): Promise<Manifest> {
  const source = await store.read(name);
  if (source === undefined) {
    throw new InputError("manifest_missing", `${store.locate(name)} does not exist`);
  }
  const manifest = parse(await text(source));
  if (manifest?.format === format) return manifest;
  throw new InputError(
    "manifest_invalid",
    `${store.locate(name)} is not a manifest of an archive`,
    "Name the .manifest.json that lies beside the archive's file.",
  );
}

function parse(content: string): Manifest | undefined {
  try {
    return JSON.parse(content) as Manifest;
  } catch {
    return undefined;
  }
}

/** The name of the file that a manifest describes. */
export function fileBeside(name: string, { file }: Manifest): string {
  return posix.join(posix.dirname(name), posix.basename(file));
}

/** An archive that is as its manifest says. */
export interface Verified {
  /** The name of its file. */
  readonly file: string;
  readonly manifest: Manifest;
}

/** Reads the whole file back and compares it with its manifest. */
export async function verifyArchive(store: ArchiveStore, name: string): Promise<Verified> {
  const manifest = await readManifest(store, name);
  const file = fileBeside(name, manifest);
  const found = await readBack(store, file);
  for (const key of ["sha256", "content_sha256", "rows", "bytes"] as const) {
    if (found[key] !== manifest[key]) {
      throw damaged(store.locate(file), `has another ${key} than its manifest`);
    }
  }
  return { file, manifest };
}

async function readBack(store: ArchiveStore, file: string): Promise<Contents> {
  const source = await store.read(file);
  if (source === undefined) throw damaged(store.locate(file), "is not there");
  return readCompressed(source).catch((cause) => {
    throw damaged(store.locate(file), "cannot be read", cause);
  });
}

function damaged(file: string, what: string, cause?: unknown): InputError {
  return new InputError(
    "archive_damaged",
    `${file} ${what}`,
    "Take it from a backup of the archive.",
    { cause },
  );
}
