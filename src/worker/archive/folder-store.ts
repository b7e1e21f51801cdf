import { type FileHandle, mkdir, open, readdir, rename } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { InputError } from "../../user-error.ts";
import type { ArchiveStore } from "./store.ts";
import { newTempFile, tempFileEnding } from "./temp-file.ts";

/** Archives in a folder of this machine, or of one that is mounted here. */
export function folderStore(folder: string): ArchiveStore {
  const locate = (name: string) => join(folder, name);
  const store: ArchiveStore = {
    locate,
    until: () => store,
    async tempFileFor(name) {
      const path = locate(name);
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      return newTempFile(dirname(path), basename(path));
    },
    async put(name, tempFile) {
      const path = locate(name);
      await rename(tempFile, path);
      await flushFolder(dirname(path));
    },
    async read(name) {
      const handle = await openThere(locate(name));
      return handle?.createReadStream();
    },
    async list() {
      const names = await readdir(folder, { recursive: true }).catch((cause) => {
        throw isMissing(cause) ? folderMissing(folder, cause) : cause;
      });
      return names
        .filter((name) => !name.endsWith(tempFileEnding))
        .map((name) => name.replaceAll(sep, "/"))
        .sort();
    },
  };
  return store;
}

/** A file's name is durable only after fsync of its folder. */
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
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function folderMissing(folder: string, cause: unknown): InputError {
  return new InputError("archive_folder_missing", `${folder} does not exist`, undefined, { cause });
}
