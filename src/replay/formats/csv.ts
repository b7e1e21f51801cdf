import { InputError } from "../../user-error.ts";
import type { Line } from "../lines.ts";
import { operationOf } from "../operation-map.ts";
import type { Trace } from "../trace.ts";
import { largestSize } from "./sizes.ts";
import { latestUs } from "./time.ts";

export const csvHeader = "offset_us,operation,size_bytes";

const operations = ["read", "write", "head", "list", "delete"] as const;

/** Adds the lines of a block trace to `trace`. Its first bad line ends the reading. */
export function csvReader(trace: Trace, application: string): (line: Line) => void {
  let last = 0n;
  return ({ number, text }) => {
    if (text === "") return;
    const fields = text.split(",");
    if (fields.length !== 3) throw badLine(number, `has ${fields.length} fields and not 3`);
    const [offset, name, bytes] = fields as [string, string, string];
    const operation = requireOperation(name, number);
    const at = wholeNumber(offset, number, "trace_bad_offset", "offset_us", latestUs);
    if (at < last) throw stepsBack(number, at, last);
    last = at;
    const size = wholeNumber(bytes, number, "trace_bad_size", "size_bytes", largestSize);
    const hasClass = operation === "read" || operation === "write";
    trace.add(
      at,
      operationOf({ operation, ...(hasClass && { hasClass }) }, size),
      size,
      application,
    );
  };
}

function requireOperation(name: string, line: number): (typeof operations)[number] {
  const operation = operations.find((known) => known === name);
  if (operation !== undefined) return operation;
  throw badLine(line, `names an operation that is none of ${operations.join(", ")}`);
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
    `Write each operation as ${csvHeader}, for example 1500,read,4096.`,
  );
}

function stepsBack(line: number, at: bigint, last: bigint): InputError {
  return new InputError(
    "trace_clock_steps_back",
    `line ${line} of the trace is at ${at} us, after one at ${last} us`,
    "Sort the trace by offset_us: sort -t, -n -k1,1 -s, with the header kept on top.",
  );
}
