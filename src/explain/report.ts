import type { ExplainedStatement } from "./explained-statement.ts";

/** A table of all statements, then each with its plan. */
export function explainReport(statements: readonly ExplainedStatement[], plans: boolean): string {
  const table = [head, ...statements.map(row)].join("\n");
  if (!plans) return table;
  return [table, ...statements.map(details)].join("\n\n");
}

const head = "  #        ms   pages  WAL records   WAL bytes  function:line";

function row(statement: ExplainedStatement, index: number): string {
  const { ms, buffers, walRecords, walBytes, depth } = statement;
  const cells = [
    String(index + 1).padStart(3),
    ms.toFixed(3).padStart(9),
    String(buffers).padStart(7),
    String(walRecords).padStart(12),
    String(walBytes).padStart(11),
    ` ${"  ".repeat(Math.max(0, depth - 1))}${placeOf(statement)}`,
  ];
  return cells.join(" ");
}

function details(statement: ExplainedStatement, index: number): string {
  const indented = (text: string) => text.replaceAll(/^(?=.)/gm, "    ");
  return [
    `-- ${index + 1}: ${placeOf(statement)}`,
    indented(statement.query),
    "",
    indented(statement.plan),
  ].join("\n");
}

function placeOf({ place }: ExplainedStatement): string {
  return place ?? "the call";
}
