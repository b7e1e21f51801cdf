import { InputError } from "../user-error.ts";
import type { Contents } from "./compressed-lines.ts";
import { manifestName, readManifest } from "./manifest.ts";
import type { ArchiveStore } from "./store.ts";

/**
 * A name that no other archive has, unless its content is identical: rows may arrive for a time
 * whose partition was archived and dropped, and an export may be repeated after a crash.
 */
export async function uniqueName(
  store: ArchiveStore,
  stem: string,
  { content_sha256 }: Contents,
): Promise<string> {
  for (let number = 1; ; number++) {
    const file = number === 1 ? `${stem}.csv.gz` : `${stem}.${number}.csv.gz`;
    const held = await contentOf(store, manifestName(file));
    if (held === undefined || held === content_sha256) return file;
  }
}

/** Undefined where there is no archive. An unreadable one keeps its name, as it may be repaired. */
async function contentOf(store: ArchiveStore, manifest: string): Promise<string | undefined> {
  try {
    return (await readManifest(store, manifest)).content_sha256;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.code === "manifest_missing" ? undefined : "unreadable";
  }
}
