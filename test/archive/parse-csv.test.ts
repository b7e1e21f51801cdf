import { expect, test } from "vitest";
import { countRecords } from "../../src/archive/count-records.ts";
import { parseCsv } from "../../src/archive/parse-csv.ts";

const records = [
  ["a", "b", "c"],
  ["", null, 'x "y"\n,z'],
  [null, "é", null],
  ['"', "\n", '""'],
];
const text = records
  .map((fields) =>
    fields.map((field) => (field === null ? "" : `"${field.replaceAll('"', '""')}"`)).join(","),
  )
  .map((line) => `${line}\n`)
  .join("");

async function parsed(chunkLength: number) {
  async function* chunks() {
    for (let at = 0; at < text.length; at += chunkLength) yield text.slice(at, at + chunkLength);
  }
  const found: unknown[] = [];
  for await (const record of parseCsv(chunks())) found.push(record);
  return found;
}

test.each([1, 2, 3, 7, 1000])("CSV in chunks of %i is read as it was written", async (length) => {
  expect(await parsed(length)).toEqual(records);
});

test("records are counted as they are read", () => {
  const count = countRecords();
  for (const byte of Buffer.from(text)) count.add(Buffer.from([byte]));
  expect(count.count()).toBe(records.length);
});
