import { posix } from "node:path";
import { openStore } from "../archive/open-store.ts";
import type { ArchiveStore } from "../archive/store.ts";
import { archiveDeclaration } from "../settings/archive.ts";
import { readSettings } from "../settings/read-settings.ts";
import { InputError } from "../user-error.ts";

/** The archives of the named location, or else of the one that workers export to. */
export function archiveStore(
  named: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
): ArchiveStore {
  const place = named ?? readSettings(env, archiveDeclaration).folder;
  if (place) return openStore(place, env);
  throw new InputError(
    "archive_folder_missing",
    "no folder is named",
    "Name one, or set QOS_ARCHIVE_FOLDER.",
  );
}

/** A manifest by its whole path or address. */
export function archiveAt(path: string): { readonly store: ArchiveStore; readonly name: string } {
  return { store: openStore(posix.dirname(path)), name: posix.basename(path) };
}
