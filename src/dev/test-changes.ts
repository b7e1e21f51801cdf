import { runProgram } from "./run-program.ts";
import { testFiles, testsOf } from "./tests-of.ts";

export interface ChangeStep {
  readonly name: string;
  readonly command: readonly string[];
}

/** What is run before a commit: linter, types, and the tests that the changed files touch. */
export function changeSteps(changed: readonly string[]): ChangeStep[] {
  const tests = [...new Set([...testFiles("test/db"), ...testsOf(changed)])];
  return [
    { name: "lint", command: ["biome", "check", "."] },
    { name: "typecheck", command: ["tsc", "--noEmit"] },
    { name: "typecheck of the console", command: ["tsc", "--noEmit", "-p", "src/console"] },
    { name: "conventions and tests", command: ["vitest", "related", "--run", ...tests] },
  ];
}

/** Runs every step, also after one that fails; answers the names of those that failed. */
export async function testChanges(
  changed: readonly string[],
  run: (command: readonly string[]) => Promise<boolean> = runProgram,
): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, command } of changeSteps(changed)) {
    if (!(await run(command))) failed.push(name);
  }
  return failed;
}
