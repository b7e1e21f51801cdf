export type CsvRecord = readonly (string | null)[];

/** The records of CSV as the export writes it: a field without quotes that is empty is null. */
export async function* parseCsv(chunks: AsyncIterable<string>): AsyncGenerator<CsvRecord> {
  let rest = "";
  for await (const chunk of chunks) {
    rest += chunk;
    let end = recordEnd(rest);
    while (end >= 0) {
      yield fieldsOf(rest.slice(0, end));
      rest = rest.slice(end + 1);
      end = recordEnd(rest);
    }
  }
  if (rest !== "") yield fieldsOf(rest);
}

/** The first line break that is not between quotes; -1 while the record goes on. */
function recordEnd(text: string): number {
  for (let from = 0; ; ) {
    const line = text.indexOf("\n", from);
    if (line < 0) return -1;
    const quoted = text.indexOf('"', from);
    if (quoted < 0 || quoted > line) return line;
    const closing = text.indexOf('"', quoted + 1);
    if (closing < 0) return -1;
    from = closing + 1;
  }
}

const field = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/gy;

function fieldsOf(record: string): CsvRecord {
  const fields: (string | null)[] = [];
  field.lastIndex = 0;
  for (let end = ","; end === ","; ) {
    const match = field.exec(record);
    if (match === null) throw new Error(`not a record of CSV: ${record.slice(0, 100)}`);
    const [, quoted, plain, separator = ""] = match;
    fields.push(quoted?.replaceAll('""', '"') ?? (plain || null));
    end = separator;
  }
  return fields;
}
