import { bucketAccess } from "./bucket-access.ts";
import { bucketStore } from "./bucket-store.ts";
import { folderStore } from "./folder-store.ts";
import type { ArchiveStore } from "./store.ts";

/** The archives of a folder, or of s3://bucket/folder. */
export function openStore(place: string, env: NodeJS.ProcessEnv = process.env): ArchiveStore {
  const access = bucketAccess(place, env);
  return access === undefined ? folderStore(place) : bucketStore(access);
}
