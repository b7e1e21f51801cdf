/** The fields of a line of CSV (RFC 4180), or undefined where its quotes do not match. */
export function csvFields(line: string): string[] | undefined {
  const fields: string[] = [];
  // A field in quotes or without any, and then a comma or the end.
  const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (;;) {
    const match = field.exec(line);
    if (match === null) return undefined;
    const [, quoted, plain = "", end] = match;
    fields.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === "") return fields;
  }
}
