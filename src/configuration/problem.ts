/** What is wrong in a file, and where. */
export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export function describeProblem({ file, line, column, message }: Problem): string {
  return `${file}:${line}:${column}: ${message}`;
}
