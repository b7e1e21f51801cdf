import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** Every manifest under a folder, by name. */
export async function listManifests(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names
    .filter((name) => name.endsWith(".manifest.json"))
    .sort()
    .map((name) => join(folder, name));
}
