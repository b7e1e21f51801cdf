/** Runs of a property: a few seconds' worth, or PROPERTY_RUNS times as many. */
export function runs(usual: number): number {
  return Math.ceil(usual * Number(process.env.PROPERTY_RUNS ?? 1));
}
