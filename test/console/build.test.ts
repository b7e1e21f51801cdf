import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { projectPath } from "../../src/paths.ts";

test("the console is built for production, whatever environment it is built in", async () => {
  const folder = await mkdtemp(join(tmpdir(), "console-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const script = `
    const { bundle } = await import(${JSON.stringify(projectPath("src/api/console/build-console.ts"))});
    await bundle(${JSON.stringify(folder)});
  `;
  const env = { ...process.env, NODE_ENV: "development" };
  await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], { env });
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".js"));
  expect(names.length).toBeGreaterThan(5);
  const sources = await Promise.all(names.map((name) => readFile(join(folder, name), "utf8")));
  expect(names.filter((_, index) => sources[index]?.includes("jsxDEV"))).toEqual([]);
}, 60_000);
