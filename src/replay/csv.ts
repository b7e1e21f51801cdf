import { InputError } from "../user-error.ts";
import type { Line } from "./lines.ts";
import type { Kind, Trace } from "./trace.ts";

export const CSV_HEADER = "offset_us,operation,size_bytes";
/** The end of bigint. */
export const LARGEST_SIZE = 9_223_372_036_854_775_807n;
/** 285 years: as far as microseconds are exact in an interval's arithmetic. */
export const LATEST_OFFSET = 9_007_199_254_740_991n;

const KIND_OF: Readonly<Record<string, Kind>> = {
  read: "read",
  write: "write",
  head: "head",
  delete: "delete",
};

/** Adds the lines of a block trace to `trace`. Its first bad line ends the reading. */
export function csvReader(trace: Trace): (line: Line) => void {
  let last = 0n;
  return ({ number, text }) => {
    if (text === "") return;
    const fields = text.split(",");
    if (fields.length !== 3) throw badLine(number, `has ${fields.length} fields and not 3`);
    const [offset, operation, size] = fields as [string, string, string];
    const kind = kindOf(operation, number);
    const at = wholeNumber(offset, number, "trace_bad_offset", "offset_us", LATEST_OFFSET);
    if (at < last) throw stepsBack(number, at, last);
    last = at;
    trace.add(at, kind, wholeNumber(size, number, "trace_bad_size", "size_bytes", LARGEST_SIZE));
  };
}

function kindOf(operation: string, line: number): Kind {
  const kind = Object.hasOwn(KIND_OF, operation) ? KIND_OF[operation] : undefined;
  if (kind === undefined)
    throw badLine(line, "names an operation that is not read, write, head or delete");
  return kind;
}

function wholeNumber(
  text: string,
  line: number,
  code: string,
  column: string,
  largest: bigint,
): bigint {
  const value = /^\d+$/.test(text) ? BigInt(text) : undefined;
  if (value !== undefined && value <= largest) return value;
  throw new InputError(
    code,
    `line ${line} of the trace has no valid ${column}`,
    `Give ${column} as a whole number from 0 to ${largest}.`,
  );
}

function badLine(line: number, what: string): InputError {
  return new InputError(
    "trace_bad_line",
    `line ${line} of the trace ${what}`,
    `Write each operation as ${CSV_HEADER}, for example 1500,read,4096.`,
  );
}

function stepsBack(line: number, at: bigint, last: bigint): InputError {
  return new InputError(
    "trace_clock_steps_back",
    `line ${line} of the trace is at ${at} us, after one at ${last} us`,
    "Sort the trace by offset_us: sort -t, -n -k1,1 -s, with the header kept on top.",
  );
}
