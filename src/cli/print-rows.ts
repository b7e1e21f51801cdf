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
    for (const line of aligned([[...columns], ...cells])) console.log(line);
  }
}

function text(value: unknown): string {
  return value === null || value === undefined
    ? "-"
    : printable(String(value).replaceAll(/\s+/g, " "));
}

function aligned(lines: readonly (readonly string[])[]): string[] {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
