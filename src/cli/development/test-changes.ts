import type { Command } from "commander";
import { UserError } from "../../user-error.ts";

export function register(program: Command): void {
  program
    .command("test-changes")
    .description("run linter, type check, conventions and the tests that changed files touch")
    .option("--since <commit>", "the commit or branch that files are compared with", "HEAD")
    .option("--list", "print the commands and run nothing")
    .action(async ({ since, list }: { since: string; list?: true }) => {
      const { changedFiles } = await import("../../dev/changed-files.ts");
      const { changeSteps, testChanges } = await import("../../dev/test-changes.ts");
      const changed = changedFiles(since);
      if (list) {
        for (const { command } of changeSteps(changed)) console.log(command.join(" "));
        return;
      }
      const failed = await testChanges(changed);
      if (failed.length > 0) throw new UserError("changes_failed", `failed: ${failed.join(", ")}`);
    });
}
