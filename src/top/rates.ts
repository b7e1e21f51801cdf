import { printable } from "../output/printable.ts";
import type { Sample, Sampled } from "./sample.ts";

export interface Line extends Sampled {
  readonly admittedPerSecond: number;
  readonly deniedPerSecond: number;
}

/** What happened between two samples, by the server's clock. */
export function linesOf(before: Sample, after: Sample): Line[] {
  const known = new Map(before.rows.map((row) => [nameOf(row), row]));
  const seconds = Math.max((after.atMs - before.atMs) / 1_000, 0.001);
  return after.rows.map((row) => {
    const old = known.get(nameOf(row)) ?? row;
    return {
      ...row,
      admittedPerSecond: Math.max(row.admitted - old.admitted, 0) / seconds,
      deniedPerSecond: Math.max(row.denied - old.denied, 0) / seconds,
    };
  });
}

export function nameOf({ tenant, application }: Sampled): string {
  return printable(`${tenant}/${application}`);
}

export const orders = ["denied", "admitted", "fill", "name"] as const;
export type Order = (typeof orders)[number];

export function sorted(lines: readonly Line[], order: Order): Line[] {
  const fill = (line: Line) => Math.min(line.iopsFill ?? 1, line.bandwidthFill ?? 1);
  const by: Record<Order, (a: Line, b: Line) => number> = {
    denied: (a, b) => b.deniedPerSecond - a.deniedPerSecond,
    admitted: (a, b) => b.admittedPerSecond - a.admittedPerSecond,
    fill: (a, b) => fill(a) - fill(b),
    name: () => 0,
  };
  return [...lines].sort((a, b) => by[order](a, b) || (nameOf(a) < nameOf(b) ? -1 : 1));
}
