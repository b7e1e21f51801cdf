import { execFileSync, spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { runInProcess } from "./in-process.ts";

const { stdout: script } = await runInProcess("completion", "bash");

function completed(...words: readonly string[]): string[] {
  const typed = `COMP_WORDS=(storage-qos ${words.map((word) => `'${word}'`).join(" ")})`;
  const asked = `${script}\n${typed}; COMP_CWORD=${words.length}; _storage_qos; echo "\${COMPREPLY[@]}"`;
  return execFileSync("bash", ["-c", asked], { encoding: "utf8" }).trim().split(" ");
}

test("bash completes commands, kinds, subcommands and options", () => {
  expect(completed("desc")).toEqual(["describe"]);
  expect(completed("get", "ten")).toEqual(["tenants"]);
  expect(completed("create", "se")).not.toContain("setting");
  expect(completed("set", "se")).toEqual(["service-account", "setting"]);
  expect(completed("jobs", "dead")).toEqual(["dead-letters"]);
  expect(completed("apply", "--pr")).toEqual(["--prune"]);
});

test.each(["zsh", "fish"])("%s takes its script, where it is installed", async (shell) => {
  const { stdout: script } = await runInProcess("completion", shell);
  for (const word of ["apply", "tenants", "prune"]) expect(script).toContain(word);
  const checked = spawnSync(shell, ["-n"], { input: script });
  expect(checked.error === undefined ? checked.status : 0).toBe(0);
});
