import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { migrationsFolder } from "./settings.ts";

/**
 * Freezes every committed migration anew with its fixtures as they are now, as uncommitting and
 * committing all of them would, and answers the names of those that changed. Until the first release
 * is tagged, a changed function changes the migration that it is in. A migration's section under a
 * heading of all.sql includes what all.sql lists there.
 */
export function refreeze(folder = migrationsFolder): string[] {
  const changed: string[] = [];
  const domains = domainsOf(readFileSync(join(folder, "fixtures/all.sql"), "utf8"));
  let previous = "-";
  for (const name of readdirSync(join(folder, "committed")).sort()) {
    if (!name.endsWith(".sql")) continue;
    const path = join(folder, "committed", name);
    const before = readFileSync(path, "utf8");
    const { message, body } = parts(before);
    const frozen = withIncludes(withDomains(withoutIncludes(body), domains), folder);
    const hash = hashOf(frozen, previous);
    const after = `--! Previous: ${previous}\n--! Hash: ${hash}\n--! Message: ${message}\n\n${frozen}\n`;
    if (after !== before) {
      writeFileSync(path, after);
      changed.push(name);
    }
    previous = hash;
  }
  return changed;
}

function parts(migration: string): { message: string; body: string } {
  const head = /^(?:--! [^\n]*\n)+/.exec(migration)?.[0] ?? "";
  const message = /^--! Message: (.*)$/m.exec(head)?.[1] ?? "";
  return { message, body: migration.slice(head.length).trim() };
}

/** The sections of all.sql by their headings, such as `-- Leases`. */
function domainsOf(all: string): ReadonlyMap<string, string> {
  const sections = all.trim().split(/\n\n/);
  return new Map(sections.map((section) => [firstLine(section), section]));
}

function withDomains(body: string, domains: ReadonlyMap<string, string>): string {
  const sections = body.split(/\n\n/);
  return sections.map((section) => domains.get(firstLine(section)) ?? section).join("\n\n");
}

function firstLine(section: string): string {
  return section.split("\n", 1)[0] ?? "";
}

/** The outermost includes: what they include in turn comes with them. */
function withoutIncludes(body: string): string {
  return body.replace(
    /^--! Included (.*)\n(?:.*\n)*?--! EndIncluded \1$/gm,
    (_frozen, fixture: string) => `--!include ${fixture}`,
  );
}

function withIncludes(body: string, folder: string): string {
  return body.replace(/^--!include (\S+)$/gm, (_include, fixture: string) => {
    const content = readFileSync(join(folder, "fixtures", fixture), "utf8");
    const frozen = withIncludes(content, folder).trim();
    return `--! Included ${fixture}\n${frozen}\n--! EndIncluded ${fixture}`;
  });
}

/** As graphile-migrate computes it. */
function hashOf(body: string, previous: string): string {
  const chained = `${previous === "-" ? "" : previous}\n${body}`.trim();
  return `sha1:${createHash("sha1").update(`${chained}\n`).digest("hex")}`;
}
