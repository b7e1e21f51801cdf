import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { unlessRequired } from "../harness/required.ts";

const isMissing = spawnSync("luacheck", ["--version"]).error !== undefined;
const missing = unlessRequired(
  isMissing ? "luacheck is not installed (.ci/packages lists what to install)" : undefined,
);

test.skipIf(missing !== undefined)("luacheck finds nothing in the Lua of the gateway", () => {
  const folder = projectPath(".");
  const { stdout } = spawnSync("luacheck", ["src/gateway", "test", "--no-color", "-q"], {
    cwd: folder,
    encoding: "utf8",
  });
  expect(stdout).toMatch(/^Total: 0 warnings \/ 0 errors in \d+ files\s*$/);
  expect(Number(/in (\d+) files/.exec(stdout)?.[1])).toBeGreaterThan(50);
});
