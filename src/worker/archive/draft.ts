import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ArchiveStore } from "./store.ts";

export const draftEnding = ".partial";
const forgottenMilliseconds = 24 * 60 * 60_000;

/** Makes a draft and has it used; it is gone afterwards, whatever happened. */
export async function withDraft<T>(
  store: ArchiveStore,
  name: string,
  use: (draft: string) => Promise<T>,
): Promise<T> {
  const draft = await store.draftFor(name);
  try {
    return await use(draft);
  } finally {
    await rm(draft, { force: true }).catch(() => {});
  }
}

/** A name that nobody else has. What workers left there that were killed long ago is removed. */
export async function newDraft(folder: string, stem: string): Promise<string> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${stem}.`) || !name.endsWith(draftEnding)) continue;
    await removeForgotten(join(folder, name));
  }
  return join(folder, `${stem}.${crypto.randomUUID()}${draftEnding}`);
}

async function removeForgotten(draft: string): Promise<void> {
  const found = await stat(draft).catch(() => undefined);
  if (found === undefined || Date.now() - found.mtimeMs < forgottenMilliseconds) return;
  await rm(draft, { force: true });
}
