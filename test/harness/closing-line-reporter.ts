import type { Reporter, TestCase, TestModule } from "vitest/node";

/** Runs of a part of the tests skip most of them on purpose. */
const mostNames = 20;

/** Names what was skipped, and closes the run with `N passed, N failed`, on a line of its own. */
export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string) => tests.filter((test) => test.result().state === state).length;
    // A file that could not be loaded has no tests that could fail, but fails the run.
    const broken = modules.filter((module) => module.errors().length > 0).length + errors.length;
    const skipped = count("skipped");
    if (skipped > 0 && skipped <= mostNames) process.stdout.write(`\nskipped:\n${names(tests)}`);
    const closing = `${count("passed")} passed, ${count("failed") + broken} failed`;
    process.stdout.write(`\n${closing}${skipped > 0 ? `, ${skipped} skipped` : ""}\n`);
  }
}

function names(tests: readonly TestCase[]): string {
  return tests
    .filter((test) => test.result().state === "skipped")
    .map((test) => `  ${test.module.relativeModuleId}: ${test.fullName}\n`)
    .join("");
}
