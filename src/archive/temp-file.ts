import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ArchiveStore } from "./store.ts";

export const tempFileEnding = ".partial";
const forgottenMs = 24 * 60 * 60_000;

/** Runs `use` with a temporary file, which is removed afterwards. */
export async function withTempFile<T>(
  store: ArchiveStore,
  name: string,
  use: (tempFile: string) => Promise<T>,
): Promise<T> {
  const tempFile = await store.tempFileFor(name);
  try {
    return await use(tempFile);
  } finally {
    await rm(tempFile, { force: true }).catch(() => {});
  }
}

/** A unique name. Removes what killed workers left behind long ago. */
export async function newTempFile(folder: string, stem: string): Promise<string> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${stem}.`) || !name.endsWith(tempFileEnding)) continue;
    await removeForgotten(join(folder, name));
  }
  return join(folder, `${stem}.${crypto.randomUUID()}${tempFileEnding}`);
}

async function removeForgotten(tempFile: string): Promise<void> {
  const found = await stat(tempFile).catch(() => undefined);
  if (found === undefined || Date.now() - found.mtimeMs < forgottenMs) return;
  await rm(tempFile, { force: true });
}
