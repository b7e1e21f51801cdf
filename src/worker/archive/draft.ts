import { rm } from "node:fs/promises";
import type { ArchiveStore } from "./store.ts";

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
