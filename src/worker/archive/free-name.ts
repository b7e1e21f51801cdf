import { InputError } from "../../user-error.ts";
import type { Contents } from "./compressed-lines.ts";
import { manifestName, readManifest } from "./manifest.ts";
import type { ArchiveStore } from "./store.ts";

/**
 * A name that takes no archive's place, unless it holds the very same: rows may come into a time
 * whose partition was archived and dropped before, and an export may be repeated after a crash.
 */
export async function freeName(
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

/** Undefined where there is no archive. One that cannot be read may be mended: it keeps its name. */
async function contentOf(store: ArchiveStore, manifest: string): Promise<string | undefined> {
  try {
    return (await readManifest(store, manifest)).content_sha256;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return error.code === "manifest_missing" ? undefined : "unreadable";
  }
}
