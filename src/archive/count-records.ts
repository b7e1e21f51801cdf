export interface RecordCount {
  add(chunk: Buffer): void;
  count(): number;
}

const quote = 0x22;
const newline = 0x0a;

/** Counts the records of CSV; a line break within quotes does not end a record. */
export function countRecords(): RecordCount {
  let count = 0;
  let isQuoted = false;
  return {
    add(chunk) {
      for (const byte of chunk) {
        if (byte === quote) isQuoted = !isQuoted;
        else if (byte === newline && !isQuoted) count++;
      }
    },
    count: () => count,
  };
}
