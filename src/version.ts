import { readFileSync } from "node:fs";
import { projectPath } from "./paths.ts";

/** Of this code, as package.json says. */
export const version: string = JSON.parse(
  readFileSync(projectPath("package.json"), "utf8"),
).version;
