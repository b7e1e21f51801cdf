import { existsSync, readFileSync, writeFileSync } from "node:fs";

/** Keeps the key of the demo beside its data, for the commands that decide and for the greeting. */
export function keepDemoKey(file: string, apiKey: string): void {
  writeFileSync(file, `${apiKey}\n`, { mode: 0o600 });
}

export function readDemoKey(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, "utf8").trim() || undefined : undefined;
}
