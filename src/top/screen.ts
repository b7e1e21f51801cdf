import type { Style } from "../output/colours.ts";
import { printable } from "../output/printable.ts";
import { type Line, nameOf, type Order, sorted } from "./rates.ts";

/** What the keyboard has chosen. */
export interface View {
  readonly order: Order;
  readonly selected: number;
  readonly isOpen: boolean;
}

/** How a part of the screen gets its colour. */
export type Paint = (style: Style, text: string) => string;

const barWidth = 10;
const plain: Paint = (_, text) => text;

/** The whole screen as text, without an escape but for those of paint. */
export function screenOf(lines: readonly Line[], view: View, paint: Paint = plain): string[] {
  const ordered = sorted(lines, view.order);
  const opened = view.isOpen ? ordered[view.selected] : undefined;
  if (opened !== undefined) return detailsOf(opened, paint);
  const width = Math.max(11, ...ordered.map((line) => nameOf(line).length));
  const head = `  ${"application".padEnd(width)}  ${"operations".padEnd(16)}  ${"bandwidth".padEnd(16)}  ${"layer 1".padEnd(16)}  admitted/s  denied/s  debt`;
  return [
    paint("bold", head),
    ...ordered.map((line, place) => {
      const mark = place === view.selected ? ">" : " ";
      const fills = [line.iopsFill, line.bandwidthFill, line.layer1Fill]
        .map((fill) => bar(fill, paint))
        .join("  ");
      return `${mark} ${nameOf(line).padEnd(width)}  ${fills}  ${rate(line.admittedPerSecond, 10)}  ${rate(line.deniedPerSecond, 8)}  ${debt(line, paint)}`;
    }),
    ...(ordered.length === 0 ? ["  no application has a bucket"] : []),
  ];
}

function detailsOf(line: Line, paint: Paint): string[] {
  return [
    `application  ${nameOf(line)}`,
    `cluster      ${printable(line.cluster ?? "none")}`,
    `operations   ${bar(line.iopsFill, paint)}`,
    `bandwidth    ${bar(line.bandwidthFill, paint)}`,
    `layer 1      ${bar(line.layer1Fill, paint)}`,
    `admitted     ${rate(line.admittedPerSecond, 0)} a second`,
    `denied       ${rate(line.deniedPerSecond, 0)} a second, ${line.denied} since the start`,
    `debt         ${debt(line, paint)}`,
  ];
}

function bar(fill: number | null, paint: Paint): string {
  if (fill === null) return "-".padEnd(barWidth + 6);
  const filled = Math.round(Math.min(Math.max(fill, 0), 1) * barWidth);
  const percent = `${Math.round(fill * 100)}%`.padStart(5);
  const text = `${"#".repeat(filled)}${".".repeat(barWidth - filled)} ${percent}`;
  return paint(levelOf(fill), text);
}

/** How little a bucket holds. */
function levelOf(fill: number): Style {
  if (fill < 0.1) return "red";
  return fill < 0.5 ? "yellow" : "green";
}

function debt({ debt: owed }: Line, paint: Paint): string {
  return Number(owed) > 0 ? paint("red", owed) : owed;
}

function rate(perSecond: number, width: number): string {
  return perSecond.toFixed(1).padStart(width);
}
