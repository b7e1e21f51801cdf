import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("golden", import.meta.url));

/** The paths of the golden vector files. */
export const goldenVectors: readonly string[] = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .map((name) => `${folder}/${name}`);
