import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectPath } from "../../src/paths.ts";

const run = promisify(execFile);

export interface InstalledClient {
  /** The package as npm would publish it. */
  readonly tarball: Uint8Array;
  /** A project with nothing but the package and its peer. */
  readonly folder: string;
  /** Writes a file of the project. */
  write(name: string, text: string): Promise<string>;
  /** Runs one under a Node; answers its lines. */
  run(node: string, name: string, env?: Record<string, string>): Promise<string[]>;
  /** Problems of the project's types. */
  check(options: object): Promise<string>;
  remove(): Promise<void>;
}

/** Packs the client and installs it into an empty folder. */
export async function installClient(): Promise<InstalledClient> {
  const home = await mkdtemp(join(tmpdir(), "qos-client-"));
  const [source, folder] = [join(home, "package"), join(home, "project")];
  await run(process.execPath, [projectPath("src/cli/main.ts"), "build-client", "--to", source]);
  const { stdout } = await run("npm", ["pack", "--silent", "--pack-destination", home], {
    cwd: source,
  });
  const tarball = join(home, stdout.trim());
  await mkdir(folder);
  await writeFile(join(folder, "package.json"), JSON.stringify({ name: "project", private: true }));
  const pg = JSON.parse(await readFile(projectPath("package.json"), "utf8")).dependencies.pg;
  const quick = ["--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  await run("npm", ["install", ...quick, tarball, `pg@${pg}`], { cwd: folder });
  const path = (name: string) => join(folder, name);
  return {
    tarball: await readFile(tarball),
    folder,
    async write(name, text) {
      await writeFile(path(name), text);
      return path(name);
    },
    async run(node, name, env = {}) {
      // Nothing of this process's own environment.
      const answer = await run(node, [name], { cwd: folder, env });
      return answer.stdout.trim().split("\n");
    },
    async check(options) {
      const compilerOptions = {
        strict: true,
        noEmit: true,
        target: "es2022",
        lib: ["es2023"],
        types: ["node"],
        typeRoots: [projectPath("node_modules/@types")],
        skipLibCheck: false,
        ...options,
      };
      await writeFile(path("tsconfig.json"), JSON.stringify({ compilerOptions }));
      const compiler = projectPath("node_modules/typescript/bin/tsc");
      const checked = run(process.execPath, [compiler, "-p", folder]);
      return checked.then(
        ({ stdout: problems }) => problems,
        ({ stdout: problems }) => problems,
      );
    },
    remove: () => rm(home, { recursive: true, force: true }),
  };
}

/**
 * This Node and the others that are at hand: that of the system, and those of QOS_NODES, which
 * `.ci/node-versions` sets. By their versions.
 */
export async function nodesAtHand(): Promise<[version: string, path: string][]> {
  const named = (process.env.QOS_NODES ?? "").split(":").filter((path) => path !== "");
  const system = ["/usr/bin/node", "/usr/local/bin/node"].filter((path) => existsSync(path));
  const nodes = new Map<string, string>();
  for (const path of [process.execPath, ...named, ...system]) {
    const { stdout } = await run(path, ["--version"]);
    const major = stdout.trim().split(".")[0] ?? "";
    if (!nodes.has(major)) nodes.set(major, path);
  }
  return [...nodes];
}
