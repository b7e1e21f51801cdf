import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import type { ArchiveStore } from "./store.ts";

const draftEnding = ".partial";
const forgottenMilliseconds = 24 * 60 * 60_000;

/** Archives in a folder of this machine, or of one that is mounted here. */
export function folderStore(folder: string): ArchiveStore {
  const locate = (name: string) => join(folder, name);
  return {
    locate,
    async draftFor(name) {
      const path = locate(name);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await removeForgotten(path);
      return `${path}.${crypto.randomUUID()}${draftEnding}`;
    },
    async put(name, draft) {
      const path = locate(name);
      await rename(draft, path);
      await flushFolder(dirname(path));
    },
    async read(name) {
      const handle = await openThere(locate(name));
      return handle?.createReadStream();
    },
    async list() {
      const names = await readdir(folder, { recursive: true });
      return names
        .filter((name) => !name.endsWith(draftEnding))
        .map((name) => name.replaceAll(sep, "/"))
        .sort();
    },
  };
}

/** A worker that was killed left its draft. */
async function removeForgotten(path: string): Promise<void> {
  const folder = dirname(path);
  for (const name of await readdir(folder)) {
    if (!name.startsWith(`${basename(path)}.`) || !name.endsWith(draftEnding)) continue;
    const { mtimeMs } = await stat(join(folder, name));
    if (Date.now() - mtimeMs > forgottenMilliseconds) await rm(join(folder, name), { force: true });
  }
}

/** A name is on disk when its folder is. */
async function flushFolder(folder: string): Promise<void> {
  const handle = await open(folder);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function openThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
