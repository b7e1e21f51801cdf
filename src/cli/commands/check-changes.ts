import type { Command } from "commander";
import { UserError } from "../../user-error.ts";

export function register(program: Command): void {
  program
    .command("check-changes")
    .description("run linter, type check, conventions and the tests that changed files touch")
    .option("--since <commit>", "the commit or branch that files are compared with", "HEAD")
    .option("--list", "print the commands and run nothing")
    .action(async ({ since, list }: { since: string; list?: true }) => {
      const { changedFiles } = await import("../../dev/changed-files.ts");
      const { check, checkSteps } = await import("../../dev/check.ts");
      const changed = changedFiles(since);
      if (list) {
        for (const { command } of checkSteps(changed)) console.log(command.join(" "));
        return;
      }
      const failed = await check(changed);
      if (failed.length > 0) throw new UserError("check_failed", `failed: ${failed.join(", ")}`);
    });
}
