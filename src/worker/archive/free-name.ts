import type { Contents } from "./compressed-lines.ts";
import { findManifest, manifestName } from "./manifest.ts";
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
    const manifest = await findManifest(store, manifestName(file));
    if (manifest === undefined || manifest.content_sha256 === content_sha256) return file;
  }
}
