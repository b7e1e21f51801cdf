import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { cacheFolder, isPackage, projectPath } from "../../paths.ts";
import { sourcesKey } from "./sources-key.ts";

/** The folder of the built console, which is built if it is not there yet; a package brings it along. */
export async function builtConsole(): Promise<string> {
  if (isPackage) return projectPath("console");
  const folder = await consoleFolder();
  if (!(await isThere(folder))) await buildInProcessOfItsOwn();
  return folder;
}

/** What the command `build-console` does. */
export async function buildConsoleHere(): Promise<string> {
  const folder = await consoleFolder();
  if (!(await isThere(folder))) await buildConsole(folder);
  return folder;
}

async function consoleFolder(): Promise<string> {
  return join(cacheFolder(), "console", await sourcesKey());
}

function isThere(folder: string): Promise<boolean> {
  return readdir(folder).then(
    () => true,
    () => false,
  );
}

/** The bundler sets NODE_ENV for the whole process. */
async function buildInProcessOfItsOwn(): Promise<void> {
  const main = projectPath("src", "cli", "main.ts");
  await promisify(execFile)(process.execPath, [main, "build-console"]);
}

/** Under another name first: a build that is cut short, or done twice at once, does no harm. */
async function buildConsole(folder: string): Promise<void> {
  const unfinished = `${folder}.${randomUUID()}`;
  await mkdir(unfinished, { recursive: true });
  try {
    await bundle(unfinished);
    await compressAll(unfinished);
    await rename(unfinished, folder).catch(ignoreIfThere);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

export async function bundle(outDir: string): Promise<void> {
  // In any other environment the bundler calls what React has for development alone.
  process.env.NODE_ENV = "production";
  // Loaded for a build alone: where the console is built, the tools may be left out.
  const { build } = await import("vite");
  await build({
    configFile: false,
    root: projectPath("src", "console"),
    mode: "production",
    // Warnings are about directives of libraries that only servers read.
    logLevel: "error",
    define: { "process.env.NODE_ENV": JSON.stringify("production") },
    build: {
      ...{ outDir, emptyOutDir: false, target: "es2023", assetsDir: "assets" },
      // The policy of the page allows files alone, no data in their place.
      ...{ assetsInlineLimit: 0, modulePreload: { polyfill: false } },
      reportCompressedSize: false,
    },
  });
}

/** Once, and as small as it gets: each visitor gets what is compressed here. */
async function compressAll(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  await Promise.all(files.map((entry) => compress(join(entry.parentPath, entry.name))));
}

async function compress(file: string): Promise<void> {
  const content = await readFile(file);
  const params = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
  await writeFile(`${file}.br`, await promisify(brotliCompress)(content, { params }));
  await writeFile(`${file}.gz`, await promisify(gzip)(content, { level: 9 }));
}

/** Another process has built the same meanwhile. */
function ignoreIfThere(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
}
