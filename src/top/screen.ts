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

/** Characters of a terminal; what does not fit would wrap, and scroll the rest away. */
export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const endless: Size = { columns: Number.POSITIVE_INFINITY, rows: Number.POSITIVE_INFINITY };
const barWidth = 10;
/** What stands behind the name, with bars and with percentages alone. */
const barsColumns = 90;
const percentColumns = 62;
const leastName = 11;
const plain: Paint = (_, text) => text;

/** The whole screen as text, without an escape but for those of paint. */
export function screenOf(
  lines: readonly Line[],
  view: View,
  paint: Paint = plain,
  size: Size = endless,
): string[] {
  const ordered = sorted(lines, view.order);
  const opened = view.isOpen ? ordered[view.selected] : undefined;
  if (opened !== undefined) return detailsOf(opened, paint, size.columns);
  const longest = Math.max(leastName, ...ordered.map((line) => nameOf(line).length));
  const hasBars = size.columns >= Math.min(longest, 2 * leastName) + barsColumns;
  const room = size.columns - (hasBars ? barsColumns : percentColumns);
  const width = Math.max(leastName, Math.min(longest, room));
  const fill = hasBars ? bar : percent;
  const [operations, bandwidth, layer1] = ["operations", "bandwidth", "layer 1"].map((name) =>
    hasBars ? name.padEnd(barWidth + 6) : name,
  );
  const head = `  ${"application".padEnd(width)}  ${operations}  ${bandwidth}  ${layer1}  admitted/s  denied/s  debt`;
  const first = firstShown(view.selected, ordered.length, size.rows - 1);
  return [
    paint("bold", head),
    ...ordered.slice(first, first + size.rows - 1).map((line, place) => {
      const mark = first + place === view.selected ? ">" : " ";
      const fills = [
        fill(line.iopsFill, paint, 10),
        fill(line.bandwidthFill, paint, 9),
        fill(line.layer1Fill, paint, 7),
      ].join("  ");
      return `${mark} ${cut(nameOf(line), width).padEnd(width)}  ${fills}  ${rate(line.admittedPerSecond, 10)}  ${rate(line.deniedPerSecond, 8)}  ${debt(line, paint)}`;
    }),
    ...(ordered.length === 0 ? ["  no application has a bucket"] : []),
  ];
}

/** So that what is chosen is among those that fit. */
function firstShown(selected: number, count: number, fit: number): number {
  return Math.max(0, Math.min(selected - fit + 1, count - fit));
}

function cut(name: string, width: number): string {
  return name.length > width ? `${name.slice(0, width - 1)}…` : name;
}

function detailsOf(line: Line, paint: Paint, columns: number): string[] {
  const room = columns - "application  ".length;
  return [
    `application  ${cut(nameOf(line), room)}`,
    `cluster      ${cut(printable(line.cluster ?? "none"), room)}`,
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
  const text = `${"#".repeat(filled)}${".".repeat(barWidth - filled)} ${percentOf(fill).padStart(5)}`;
  return paint(levelOf(fill), text);
}

function percent(fill: number | null, paint: Paint, width: number): string {
  return fill === null
    ? "-".padStart(width)
    : paint(levelOf(fill), percentOf(fill).padStart(width));
}

function percentOf(fill: number): string {
  return `${Math.round(fill * 100)}%`;
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
