/** An array as PostgreSQL reads it: drivers send one only if they know its type. */
export function arrayLiteral(values: readonly (string | null)[]): string {
  return `{${values.map((value) => (value === null ? "NULL" : quoted(value)))}}`;
}

function quoted(value: string): string {
  // Callers without types give anything: whatever it means, it spoils no other's call.
  return `"${String(value).replace(/["\\]/g, "\\$&")}"`;
}
