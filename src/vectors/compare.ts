import { isDeepStrictEqual } from "node:util";
import type { Answer, VectorFile } from "./format.ts";

const shownDifferences = 5;

export interface Comparison {
  readonly differences: number;
  /** The first of them, for people. */
  readonly shown: readonly string[];
}

export function compare(file: VectorFile, answers: readonly Answer[]): Comparison {
  const expected = file.expect ?? [];
  const different = answers
    .map((_, index) => index)
    .filter((index) => !isDeepStrictEqual(answers[index], expected[index]));
  const shown = different
    .slice(0, shownDifferences)
    .map((index) =>
      [
        `step ${index}: ${JSON.stringify(file.steps[index])}`,
        `  expected ${JSON.stringify(expected[index])}`,
        `  answered ${JSON.stringify(answers[index])}`,
      ].join("\n"),
    );
  return { differences: different.length, shown };
}
