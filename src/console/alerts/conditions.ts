import type { AlertCondition } from "./rules.operations.ts";

/** How a sample is compared with the threshold, and the words for it. */
export const conditions = [
  ["GREATER_THAN", "above"],
  ["GREATER_THAN_OR_EQUAL", "at least"],
  ["LESS_THAN", "below"],
  ["LESS_THAN_OR_EQUAL", "at most"],
  ["EQUAL", "exactly"],
  ["NOT_EQUAL", "other than"],
] as const satisfies readonly (readonly [AlertCondition, string])[];

export type Condition = (typeof conditions)[number][0];
