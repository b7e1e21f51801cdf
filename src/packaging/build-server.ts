import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildConsoleHere } from "../api/console/build-console.ts";
import { projectPath } from "../paths.ts";
import { compile } from "./compile.ts";
import { serverManifest } from "./server-manifest.ts";

/** What is read while it runs, and what people read; code is compiled. */
const taken = [
  ...["db/bootstrap", "db/committed", "db/current.sql", "src/gateway", "src/replay/sql"],
  ...["src/cli/storage-qos.sh", "docs", "README.md", "CHANGELOG.md", "LICENSE"],
];

/** Writes the package of the server and the command line, from where `npm pack` takes it. */
export async function buildServer(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await compile("src/packaging/server.tsconfig.json", folder);
  for (const path of taken) {
    await cp(projectPath(path), join(folder, path), { recursive: true });
  }
  await cp(await buildConsoleHere(), join(folder, "console"), { recursive: true });
  const project = JSON.parse(await readFile(projectPath("package.json"), "utf8"));
  const manifest = JSON.stringify(serverManifest(project), undefined, 2);
  await writeFile(join(folder, "package.json"), `${manifest}\n`);
}
