import { heading } from "./colours.ts";
import { printable } from "./printable.ts";

/** Prints rows as an aligned table, or as JSON with one object in each line. */
export function printRows(
  rows: readonly object[],
  columns: readonly string[],
  { json, none }: { readonly json: boolean | undefined; readonly none: string },
): void {
  const cells = rows.map((row) => columns.map((column) => text(row[column as keyof object])));
  if (json) {
    for (const row of rows) console.log(printable(JSON.stringify(row)));
  } else if (rows.length === 0) {
    console.log(none);
  } else {
    const [head = "", ...lines] = aligned([[...columns], ...cells]);
    for (const line of [heading(head), ...lines]) console.log(line);
  }
}

function text(value: unknown): string {
  return value === null || value === undefined
    ? "-"
    : printable(String(value).replaceAll(/\s+/g, " "));
}

/** Amounts at the right, so that their digits are under each other, all else at the left. */
function aligned(lines: readonly (readonly string[])[]): string[] {
  const columns = (lines[0] ?? []).map((_, column) => lines.map((line) => line[column] ?? ""));
  const padded = columns.map((cells) => {
    const width = Math.max(...cells.map((cell) => cell.length));
    const isAmount = cells.slice(1).every((cell) => amount.test(cell));
    return cells.map((cell) => (isAmount ? cell.padStart(width) : cell.padEnd(width)));
  });
  return lines.map((_, line) =>
    padded
      .map((cells) => cells[line])
      .join("  ")
      .trimEnd(),
  );
}

const amount = /^(-|-?\d+(\.\d+)?( ?[kMGT]?i?B)?(\/s)?)$/;
