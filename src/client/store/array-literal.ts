/** An array literal: drivers send arrays only of types they know. */
export function arrayLiteral(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? "NULL" : quoted(value)))}}`;
}

/** Of a size, for an array; null is one that is not known yet. */
export function digitsOf(size: number | null): string | null {
  return size === null ? null : String(size);
}

function quoted(value: string): string {
  // Untyped callers may pass anything: it must not break the literal of the others.
  return `"${String(value).replace(/["\\]/g, "\\$&")}"`;
}
