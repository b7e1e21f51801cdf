import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { cacheFolder } from "../paths.ts";

/** Compiled code is kept for the next process: half of what a short command takes is compiling. */
export function keepCompiled(): void {
  try {
    // Where the folder cannot be written nothing is kept, which Node does not call an error.
    enableCompileCache(join(cacheFolder(), "compiled"));
  } catch {
    // An account without a home folder.
  }
}
