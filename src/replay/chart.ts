import type { Minute } from "./tally.ts";

const minutesARow = 60;
const longest = 48;
const steps = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const;
const nothingThrottled = "·";
const noOperation = " ";

/**
 * Throttling by minute: a row is an hour, a character a minute, its height the share of the
 * minute's operations that was throttled. Hours without an operation have no row.
 */
export function throttlingChart(minutes: readonly Minute[]): string[] {
  const rows = new Map<number, string[]>();
  for (const minute of minutes) {
    const hour = Math.floor(minute.minute / minutesARow);
    const row = rows.get(hour) ?? Array<string>(minutesARow).fill(noOperation);
    row[minute.minute % minutesARow] = step(minute);
    rows.set(hour, row);
  }
  const drawn = [...rows]
    .slice(0, longest)
    .map(([hour, row]) => `${label(hour)} |${row.join("")}|`);
  const left = rows.size - drawn.length;
  return left > 0 ? [...drawn, `… and ${left} more hours: --json has every minute`] : drawn;
}

function step({ admitted, throttled }: Minute): string {
  if (throttled === 0) return nothingThrottled;
  const share = throttled / (admitted + throttled);
  return steps[Math.min(steps.length - 1, Math.floor(share * steps.length))] as string;
}

function label(hour: number): string {
  return `${hour}h`.padStart(6);
}
