import { homedir } from "node:os";
import { resolve } from "node:path";

/** The project's own folder, whatever the caller's working directory is. */
export const projectFolder: string = resolve(import.meta.dirname, "..");

/** Whether this is the npm package: the clone runs TypeScript as it stands. */
export const isPackage: boolean = import.meta.filename.endsWith(".js");

/** How a file of code ends here. */
export const codeExtension: string = isPackage ? ".js" : ".ts";

export function projectPath(...parts: string[]): string {
  return resolve(projectFolder, ...parts);
}

/** Where data lies unless it is told: an installed package is replaced with all that is in it. */
export function usualDataFolder(): string {
  return isPackage ? resolve(".data") : projectPath(".data");
}

/** Of what can be made again. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  if (!isPackage) return projectPath(".cache");
  return resolve(env.XDG_CACHE_HOME || resolve(homedir(), ".cache"), "storage-qos");
}
