import { execFile } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

const run = promisify(execFile);
const base = mkdtempSync(join(tmpdir(), "storage-qos-compiled-"));
afterAll(() => rmSync(base, { recursive: true }));

/** A short command that loads code of its own and of a library. */
const program = join(base, "command.mjs");
const urlOf = (path: string) => JSON.stringify(pathToFileURL(projectPath(path)).href);
writeFileSync(
  program,
  `import { keepCompiled } from ${urlOf("src/cli/keep-compiled.ts")};
keepCompiled(process.argv[2]);
const { Command } = await import(${urlOf("node_modules/commander/index.js")});
const { sizeInBytes } = await import(${urlOf("src/decide/size.ts")});
console.log(new Command("command").name(), sizeInBytes("64KiB"));
`,
);

/** Works, and says nothing else, whatever the folder is. */
async function expectWorks(folder: string): Promise<void> {
  const env = { PATH: process.env.PATH, HOME: base };
  const { stdout, stderr } = await run(process.execPath, [program, folder], { env });
  expect({ stdout, stderr }).toEqual({ stdout: "command 65536\n", stderr: "" });
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test("code is kept for the next process, in a folder of its own", async () => {
  const folder = join(base, "made", "compiled");
  await expectWorks(folder);
  expect(filesIn(folder).length).toBeGreaterThan(2);
  expect(statSync(folder).mode & 0o077).toBe(0);
});

test("what is kept is of no effect where it is broken, and made anew", async () => {
  const folder = join(base, "broken");
  await expectWorks(folder);
  const kept = filesIn(folder);
  expect(kept.length).toBeGreaterThan(2);
  for (const [place, file] of kept.entries()) {
    const broken = place % 2 === 0 ? readFileSync(file).subarray(0, 40) : "not compiled at all";
    writeFileSync(file, broken);
  }
  await expectWorks(folder);
  expect(kept.some((file) => readFileSync(file).length > 40)).toBe(true);
});

test.each([
  ["is a file", (path: string) => writeFileSync(path, "")],
  ["leads nowhere", (path: string) => symlinkSync("/proc/nothing/at/all", path)],
])("a folder that %s keeps nothing", async (name, make) => {
  const parent = join(base, name.replaceAll(" ", "-"));
  const path = join(parent, "compiled");
  mkdirSync(parent);
  make(path);
  await expectWorks(path);
});

test("one that others may write is not used", async () => {
  const folder = join(base, "shared");
  mkdirSync(folder);
  chmodSync(folder, 0o770);
  await expectWorks(folder);
  expect(filesIn(folder)).toEqual([]);
});

test.runIf(process.getuid?.() === 0)("one of another account is not used", async () => {
  const folder = join(base, "foreign");
  mkdirSync(folder, { mode: 0o700 });
  await run("chown", ["65534", folder]);
  await expectWorks(folder);
  expect(filesIn(folder)).toEqual([]);
});
