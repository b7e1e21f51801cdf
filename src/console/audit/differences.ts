export interface Difference {
  readonly field: string;
  readonly before?: string;
  readonly after?: string;
}

/** What differs between two states of a row, field by field. */
export function differences(before: unknown, after: unknown): readonly Difference[] {
  const old = fieldsOf(before);
  const now = fieldsOf(after);
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].sort();
  return names
    .filter((field) => textOf(old[field]) !== textOf(now[field]))
    .map((field) => ({
      field,
      ...(field in old && { before: textOf(old[field]) }),
      ...(field in now && { after: textOf(now[field]) }),
    }));
}

function fieldsOf(values: unknown): Readonly<Record<string, unknown>> {
  return values !== null && typeof values === "object" ? { ...values } : {};
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return "none";
  return typeof value === "string" ? value : JSON.stringify(value);
}
