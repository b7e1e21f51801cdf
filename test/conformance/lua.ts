import { spawnSync } from "node:child_process";
import { unlessRequired } from "../harness/required.ts";

const missing = unlessRequired(
  spawnSync("luajit", ["-v"]).error === undefined
    ? undefined
    : "luajit is not installed (.ci/packages lists what to install)",
);

if (missing !== undefined) console.warn(`what runs in Lua is left out: ${missing}`);

export const hasLua = missing === undefined;
