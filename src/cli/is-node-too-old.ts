import { readFileSync } from "node:fs";

/** As the package's engines say; a Node without type stripping does not get as far as this. */
export function isNodeTooOld(running: string = process.versions.node): boolean {
  const manifest = new URL("../../package.json", import.meta.url);
  const [least = ""] = /[\d.]+/.exec(JSON.parse(readFileSync(manifest, "utf8")).engines.node) ?? [];
  if (!isBefore(running, least)) return false;
  console.error(
    `error: Node ${running} is too old (node_too_old)\n` + `hint: Install Node ${least} or newer.`,
  );
  return true;
}

function isBefore(version: string, least: string): boolean {
  const [[major = 0, minor = 0] = [], [leastMajor = 0, leastMinor = 0] = []] = [version, least].map(
    (text) => text.split(".").map(Number),
  );
  return major < leastMajor || (major === leastMajor && minor < leastMinor);
}
