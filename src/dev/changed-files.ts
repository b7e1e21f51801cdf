import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { projectFolder, projectPath } from "../paths.ts";
import { InputError } from "../user-error.ts";

/** Files that differ from a commit and still exist, those that git does not track yet included. */
export function changedFiles(since: string): string[] {
  const changed = git("diff", "--name-only", "--relative", since, "--");
  const untracked = git("ls-files", "--others", "--exclude-standard");
  return [...changed, ...untracked].filter((path) => existsSync(projectPath(path))).sort();
}

function git(...args: string[]): string[] {
  try {
    const answer = execFileSync("git", args, { cwd: projectFolder, encoding: "utf8" });
    return answer.split("\n").filter((line) => line !== "");
  } catch (cause) {
    const hint = "Run it in a clone, and name a commit or branch that exists.";
    throw new InputError("git_failed", `git ${args.join(" ")} failed`, hint, { cause });
  }
}
