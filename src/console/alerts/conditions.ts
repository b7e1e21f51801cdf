/** How a sample is compared with the threshold, and the words for it. */
export const conditions = [
  [">", "above"],
  [">=", "at least"],
  ["<", "below"],
  ["<=", "at most"],
  ["=", "exactly"],
  ["!=", "other than"],
] as const;

export type Condition = (typeof conditions)[number][0];
