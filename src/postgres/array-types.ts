import pg from "pg";

type Parse = (text: string) => unknown;
type Serialize = (value: unknown) => string;

/** What the driver keeps of types, by their numbers. */
export interface DriverTypes {
  readonly parsers: Record<number, unknown>;
  readonly serializers: Record<number, unknown>;
}

/** PostgreSQL's own types and the arrays of them: their numbers never change. */
const arraysOf: Readonly<Record<number, number>> = {
  ...{ 16: 1000, 17: 1001, 18: 1002, 19: 1003, 20: 1016, 21: 1005, 23: 1007, 25: 1009 },
  ...{ 26: 1028, 114: 199, 700: 1021, 701: 1022, 869: 1041, 1042: 1014, 1043: 1015 },
  ...{ 1082: 1182, 1083: 1183, 1114: 1115, 1184: 1185, 1186: 1187, 1700: 1231, 2205: 2210 },
  ...{ 2950: 2951, 3802: 3807 },
};

/**
 * Has arrays read and written. The driver would ask each new connection for its types; where that
 * query fails (a timeout, a server that goes) nothing awaits it, and its error ends the process.
 */
export function addArrayTypes({ parsers, serializers }: DriverTypes): void {
  for (const [element, array] of Object.entries(arraysOf)) {
    const parse = (parsers[Number(element)] ?? String) as Parse;
    const serialize = (serializers[Number(element)] ?? String) as Serialize;
    parsers[array] = (text: string) => parseEach(splitArray(text), parse);
    serializers[array] = (value: unknown) =>
      Array.isArray(value) ? arrayLiteral(value, serialize) : value;
  }
}

/** The parser of text[]: every element is text or null. */
const splitArray = (pg.types.getTypeParser as (type: number) => Parse)(1009);

function parseEach(value: unknown, parse: Parse): unknown {
  if (value === null) return null;
  return Array.isArray(value) ? value.map((each) => parseEach(each, parse)) : parse(String(value));
}

function arrayLiteral(values: readonly unknown[], serialize: Serialize): string {
  const items = values.map((value) => {
    if (value === null) return "null";
    if (value === undefined) throw new TypeError("an array has an element that is undefined");
    if (Array.isArray(value)) return arrayLiteral(value, serialize);
    return `"${serialize(value).replaceAll(/[\\"]/g, "\\$&")}"`;
  });
  return `{${items.join()}}`;
}
