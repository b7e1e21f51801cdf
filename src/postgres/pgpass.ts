import { randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync, readFileSync, writeSync } from "node:fs";

/**
 * Passwords of one server's logins, made at random on first use and kept in PostgreSQL's own
 * password file format, so that psql can use the file too (PGPASSFILE).
 */
export function passwordFor(file: string, login: string): string {
  if (findPassword(file, login) === undefined) addPassword(file, login);
  // Another process may have added one meanwhile: the first line is the one that counts.
  return findPassword(file, login) ?? "";
}

export function findPassword(file: string, login: string): string | undefined {
  if (!existsSync(file)) return undefined;
  const entries = readFileSync(file, "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  return entries.find(([, , , user]) => user === login)?.[4];
}

function addPassword(file: string, login: string): void {
  const password = randomBytes(24).toString("base64url");
  const descriptor = openSync(file, "a", 0o600);
  writeSync(descriptor, `*:*:*:${login}:${password}\n`);
  closeSync(descriptor);
}
