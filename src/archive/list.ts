import type { ArchiveStore } from "./store.ts";

/** The name of every manifest. */
export async function listManifests(store: ArchiveStore): Promise<string[]> {
  const names = await store.list();
  return names.filter((name) => name.endsWith(".manifest.json"));
}
