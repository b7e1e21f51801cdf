import { type FileHandle, mkdir, open, readdir, rename } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { InputError } from "../user-error.ts";
import type { ArchiveStore } from "./store.ts";
import { newTempFile, tempFileEnding } from "./temp-file.ts";

/** Archives in a folder of this machine, or of one that is mounted here. */
export function folderStore(folder: string): ArchiveStore {
  const locate = (name: string) => join(folder, name);
  const store: ArchiveStore = {
    folder,
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
        throw isMissing(cause) ? folderMissing(folder, cause) : unreadable(folder, cause);
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
    const handle = await open(path);
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
  } catch (cause) {
    if (isMissing(cause)) return undefined;
    throw unreadable(path, cause);
  }
  throw unreadable(path, "it is not a file");
}

function unreadable(path: string, cause: unknown): InputError {
  const { code } = cause as NodeJS.ErrnoException;
  return new InputError(
    "archive_unreadable",
    `${path} cannot be read (${code ?? cause})`,
    "Check that the path is that of a manifest or a folder of archives, and that you may read it.",
    { cause },
  );
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}

function folderMissing(folder: string, cause: unknown): InputError {
  return new InputError("archive_folder_missing", `${folder} does not exist`, undefined, { cause });
}
