import type { Reporter, TestModule } from "vitest/node";

/** Closes the run with `N passed, N failed`, on a line of its own. */
export default class ClosingLineReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string) => tests.filter((test) => test.result().state === state).length;
    // A file that could not be loaded has no tests that could fail, but fails the run.
    const broken = modules.filter((module) => module.errors().length > 0).length + errors.length;
    const skipped = count("skipped");
    const closing = `${count("passed")} passed, ${count("failed") + broken} failed`;
    process.stdout.write(`\n${closing}${skipped > 0 ? `, ${skipped} skipped` : ""}\n`);
  }
}
