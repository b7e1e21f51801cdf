import { resolve } from "node:path";

/** The project's own folder, whatever the caller's working directory is. */
export const projectFolder: string = resolve(import.meta.dirname, "..");

export function projectPath(...parts: string[]): string {
  return resolve(projectFolder, ...parts);
}
