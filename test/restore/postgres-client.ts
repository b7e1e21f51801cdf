import { execFile, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectPath } from "../../src/paths.ts";
import { unlessRequired } from "../harness/index.ts";

/** A folder with pg_dump and its like of this version or a newer one; undefined where there is none. */
export function findClient(major: number): string | undefined {
  const found = [projectPath(".cache/postgres-client/bin"), ...installed()].find(
    (folder) => majorOf(join(folder, "pg_dump")) >= major,
  );
  const reason = `no pg_dump of PostgreSQL ${major} (.ci/postgres-client fetches one)`;
  unlessRequired(found === undefined ? reason : undefined, "postgres-client");
  return found;
}

function installed(): string[] {
  const home = "/usr/lib/postgresql";
  try {
    return readdirSync(home).map((major) => join(home, major, "bin"));
  } catch {
    return [];
  }
}

function majorOf(program: string): number {
  const { stdout } = spawnSync(program, ["--version"], { encoding: "utf8" });
  return Number(/\) (\d+)/.exec(stdout ?? "")?.[1] ?? 0);
}

/** The commands of the guide under a heading, a block each. */
export function drill(heading: string): string[] {
  const guide = readFileSync(projectPath("docs/backup-restore.md"), "utf8");
  const section = guide.split(`${heading}\n`)[1]?.split(/^##/m)[0] ?? "";
  const blocks = [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = ""]) => block);
  if (blocks.length === 0) throw new Error(`the guide has no commands under ${heading}`);
  return blocks;
}

/** Runs a block as a reader does who has copied it into a shell, with these programs. */
export async function perform(
  block: string | undefined,
  client: string,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  if (block === undefined) throw new Error("the guide has no such block");
  await promisify(execFile)("bash", ["-euo", "pipefail", "-c", block], {
    cwd: projectPath("."),
    env: { ...process.env, ...environment, PATH: `${client}:${process.env.PATH}` },
  });
}
