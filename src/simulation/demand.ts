import type { Random } from "../random.ts";
import type { SimulationOptions, Skew } from "./options.ts";

const cycleSeconds = 10;

/** Operations a second of each application, on average. */
export function ratesOf({ applications, rate, skew }: SimulationOptions, random: Random): number[] {
  const weights = Array.from({ length: applications }, (_, rank) =>
    skew === "zipf" ? 1 / (rank + 1) : 1,
  );
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const rates = weights.map((weight) => (weight / sum) * rate);
  return shuffled(rates, random);
}

/** How much more than on average is asked for in this second, through one of an application's gateways. */
export function factorAt(skew: Skew, second: number, phase: number, place: number): number {
  // All in one second of ten.
  if (skew === "bursts") return (second + phase) % cycleSeconds === 0 ? cycleSeconds : 0;
  // Half of the gateways have twice of what the others have, and change places each second.
  if (skew === "alternation") return (second + place) % 2 === 0 ? 4 / 3 : 2 / 3;
  return 1;
}

function shuffled(values: number[], random: Random): number[] {
  for (let last = values.length - 1; last > 0; last -= 1) {
    const other = random.between(0, last);
    [values[last], values[other]] = [values[other] as number, values[last] as number];
  }
  return values;
}
