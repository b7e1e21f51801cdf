export const conditions = [
  [">", "above"],
  [">=", "at least"],
  ["<", "below"],
  ["<=", "at most"],
  ["=", "exactly"],
  ["!=", "other than"],
] as const;

export type Condition = (typeof conditions)[number][0];

export interface Sample {
  /** In seconds. */
  readonly at: number;
  readonly value: number;
}

interface Rule {
  readonly condition: Condition;
  readonly threshold: number;
  readonly durationSeconds: number;
  readonly cooldownSeconds: number;
}

const meets: Readonly<Record<Condition, (value: number, threshold: number) => boolean>> = {
  ">": (value, threshold) => value > threshold,
  ">=": (value, threshold) => value >= threshold,
  "<": (value, threshold) => value < threshold,
  "<=": (value, threshold) => value <= threshold,
  "=": (value, threshold) => value === threshold,
  "!=": (value, threshold) => value !== threshold,
};

/** When a rule would have triggered: its condition held for its duration, and it was not cooling down. */
export function triggersOf(rule: Rule, samples: readonly Sample[]): readonly number[] {
  const triggers: number[] = [];
  let heldSince: number | undefined;
  let isOpen = false;
  for (const { at, value } of samples) {
    if (!meets[rule.condition](value, rule.threshold)) {
      heldSince = undefined;
      isOpen = false;
      continue;
    }
    heldSince ??= at;
    const isLong = at - heldSince + sampleSeconds >= rule.durationSeconds;
    const last = triggers.at(-1);
    const isCooling = last !== undefined && at - last < rule.cooldownSeconds;
    if (isOpen || !isLong || isCooling) continue;
    triggers.push(at);
    isOpen = true;
  }
  return triggers;
}

/** Counts of the system have one sample a minute. */
const sampleSeconds = 60;

/** A count that does not move writes no sample: what is missing of it is zero. */
export function withZeros(samples: readonly Sample[]): readonly Sample[] {
  return samples.flatMap((sample, index) => {
    const next = samples[index + 1];
    const missing = next === undefined ? 0 : Math.round((next.at - sample.at) / sampleSeconds) - 1;
    const zeros = Array.from({ length: Math.max(missing, 0) }, (_, step) => ({
      at: sample.at + (step + 1) * sampleSeconds,
      value: 0,
    }));
    return [sample, ...zeros];
  });
}
