import type { Minute } from "./tally.ts";

const MINUTES_A_ROW = 60;
const LONGEST = 48;
const STEPS = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const;
const NOTHING_THROTTLED = "·";
const NO_OPERATION = " ";

/**
 * Throttling by minute: a row is an hour, a character a minute, its height the share of the
 * minute's operations that was throttled. Hours without an operation have no row.
 */
export function throttlingChart(minutes: readonly Minute[]): string[] {
  const rows = new Map<number, string[]>();
  for (const minute of minutes) {
    const hour = Math.floor(minute.minute / MINUTES_A_ROW);
    const row = rows.get(hour) ?? Array<string>(MINUTES_A_ROW).fill(NO_OPERATION);
    row[minute.minute % MINUTES_A_ROW] = step(minute);
    rows.set(hour, row);
  }
  const drawn = [...rows]
    .slice(0, LONGEST)
    .map(([hour, row]) => `${label(hour)} |${row.join("")}|`);
  const left = rows.size - drawn.length;
  return left > 0 ? [...drawn, `… and ${left} more hours: --json has every minute`] : drawn;
}

function step({ admitted, throttled }: Minute): string {
  if (throttled === 0) return NOTHING_THROTTLED;
  const share = throttled / (admitted + throttled);
  return STEPS[Math.min(STEPS.length - 1, Math.floor(share * STEPS.length))] as string;
}

function label(hour: number): string {
  return `${hour}h`.padStart(6);
}
