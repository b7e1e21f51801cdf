import { InputError } from "../user-error.ts";
import { describeProblem, type Problem } from "./problem.ts";

/** All that is wrong with a configuration, in the order of its files. */
export class RefusedConfiguration extends InputError {
  override readonly findings: readonly string[];
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    super(
      "configuration_refused",
      `the configuration has ${count}: nothing was applied`,
      "Correct the lines that are named above, and try again.",
    );
    this.problems = problems;
    this.findings = problems.map(describeProblem);
  }
}
