import { access } from "node:fs/promises";
import type { Contents } from "./compressed-lines.ts";
import { manifestPath, readManifest } from "./manifest.ts";

/**
 * A name that takes no archive's place, unless it holds the very same: rows may come into a time
 * whose partition was archived and dropped before, and an export may be repeated after a crash.
 */
export async function freeName(stem: string, { content_sha256 }: Contents): Promise<string> {
  for (let number = 1; ; number++) {
    const file = number === 1 ? `${stem}.csv.gz` : `${stem}.${number}.csv.gz`;
    const manifest = manifestPath(file);
    if (!(await exists(manifest))) return file;
    if ((await readManifest(manifest)).content_sha256 === content_sha256) return file;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
