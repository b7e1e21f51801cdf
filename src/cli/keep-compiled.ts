import { mkdirSync, statSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { cacheFolder } from "../paths.ts";

/**
 * Compiled code is kept for the next process: half of what a short command takes is compiling. It
 * never keeps a command from its work.
 */
export function keepCompiled(folder?: string): void {
  try {
    const place = folder ?? join(cacheFolder(), "compiled");
    mkdirSync(place, { recursive: true, mode: 0o700 });
    if (isOwn(place)) enableCompileCache(place);
  } catch {
    // A folder that cannot be made or read; an account without a home folder.
  }
}

/** Who may write there decides what code runs here: with sudo, the folder may be another user's. */
function isOwn(place: string): boolean {
  const { uid, mode } = statSync(place);
  return process.getuid === undefined || (uid === process.getuid() && (mode & 0o022) === 0);
}
