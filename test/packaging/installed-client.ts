import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { projectPath } from "../../src/paths.ts";
import { packBuiltBy } from "./pack.ts";

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
  const { tarball, folder, install, remove } = await packBuiltBy("build-client");
  const pg = JSON.parse(await readFile(projectPath("package.json"), "utf8")).dependencies.pg;
  await install(tarball, `pg@${pg}`);
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
    remove,
  };
}
