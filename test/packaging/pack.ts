import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectPath } from "../../src/paths.ts";

const run = promisify(execFile);

export interface Packed {
  /** What was packed, as it was built. */
  readonly source: string;
  /** The file that npm would publish. */
  readonly tarball: string;
  /** A project with nothing in it yet. */
  readonly folder: string;
  install(...args: string[]): Promise<void>;
  remove(): Promise<void>;
}

/** Builds a package by a command and packs it, beside an empty project. */
export async function packBuiltBy(command: string): Promise<Packed> {
  const home = await mkdtemp(join(tmpdir(), `qos-${command}-`));
  // The account that root runs PostgreSQL as goes through it.
  await chmod(home, 0o755);
  const [source, folder] = [join(home, "package"), join(home, "project")];
  await run(process.execPath, [projectPath("src/cli/main.ts"), command, "--to", source]);
  const packing = ["pack", "--silent", "--pack-destination", home];
  const { stdout } = await run("npm", packing, { cwd: source });
  await mkdir(folder);
  await writeFile(join(folder, "package.json"), JSON.stringify({ name: "project", private: true }));
  const quick = ["--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  return {
    ...{ source, folder, tarball: join(home, stdout.trim()) },
    async install(...args) {
      await run("npm", ["install", ...quick, ...args], { cwd: folder });
    },
    remove: () => rm(home, { recursive: true, force: true }),
  };
}
