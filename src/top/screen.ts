import { printable } from "../output/printable.ts";
import { type Line, nameOf, type Order, sorted } from "./rates.ts";

/** What the keyboard has chosen. */
export interface View {
  readonly order: Order;
  readonly selected: number;
  readonly isOpen: boolean;
}

const barWidth = 10;

/** The whole screen as text; without an escape, so that it can be read and tested. */
export function screenOf(lines: readonly Line[], view: View): string[] {
  const ordered = sorted(lines, view.order);
  const opened = view.isOpen ? ordered[view.selected] : undefined;
  if (opened !== undefined) return detailsOf(opened);
  const width = Math.max(11, ...ordered.map((line) => nameOf(line).length));
  const head = `  ${"application".padEnd(width)}  ${"operations".padEnd(16)}  ${"bandwidth".padEnd(16)}  ${"layer 1".padEnd(16)}  admitted/s  denied/s  debt`;
  return [
    head,
    ...ordered.map((line, place) => {
      const mark = place === view.selected ? ">" : " ";
      const fills = [line.iopsFill, line.bandwidthFill, line.layer1Fill].map(bar).join("  ");
      return `${mark} ${nameOf(line).padEnd(width)}  ${fills}  ${rate(line.admittedPerSecond, 10)}  ${rate(line.deniedPerSecond, 8)}  ${line.debt}`;
    }),
    ...(ordered.length === 0 ? ["  no application has a bucket"] : []),
  ];
}

function detailsOf(line: Line): string[] {
  return [
    `application  ${nameOf(line)}`,
    `cluster      ${printable(line.cluster ?? "none")}`,
    `operations   ${bar(line.iopsFill)}`,
    `bandwidth    ${bar(line.bandwidthFill)}`,
    `layer 1      ${bar(line.layer1Fill)}`,
    `admitted     ${rate(line.admittedPerSecond, 0)} a second`,
    `denied       ${rate(line.deniedPerSecond, 0)} a second, ${line.denied} since the start`,
    `debt         ${line.debt}`,
  ];
}

function bar(fill: number | null): string {
  if (fill === null) return "-".padEnd(barWidth + 6);
  const filled = Math.round(Math.min(Math.max(fill, 0), 1) * barWidth);
  const percent = `${Math.round(fill * 100)}%`.padStart(5);
  return `${"#".repeat(filled)}${".".repeat(barWidth - filled)} ${percent}`;
}

function rate(perSecond: number, width: number): string {
  return perSecond.toFixed(1).padStart(width);
}
