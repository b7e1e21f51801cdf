import { InputError } from "../user-error.ts";
import { accessLogReader, type Leftovers, looksLikeAccessLog } from "./access-log.ts";
import { CSV_HEADER, csvReader } from "./csv.ts";
import { type Line, linesOf } from "./lines.ts";
import { Trace } from "./trace.ts";

export type TraceFormat = "csv" | "access_log";

export interface Recording {
  readonly format: TraceFormat;
  /** What the offsets of the trace count from. */
  readonly epoch: Date;
  readonly trace: Trace;
  readonly leftovers: Leftovers;
}

/** A block trace has no date of its own: its first moment is set here. */
const CSV_EPOCH = new Date("2026-01-01T00:00:00Z");
const BYTE_ORDER_MARK = "\u00ef\u00bb\u00bf";
/** A log may open with damaged lines; a file with nothing but them is not a log. */
const LINES_TO_RECOGNIZE = 1_000;

/** Reads a whole trace, whichever of the known formats it is in. */
export async function readTrace(path: string): Promise<Recording> {
  const leftovers: Leftovers = { skipped: new Map(), badLines: { count: 0, first: [] } };
  const trace = new Trace();
  const format = await readInto(trace, leftovers, path);
  if (trace.length === 0) throw empty(path);
  if (format === "csv") return { format, epoch: CSV_EPOCH, trace, leftovers };
  return { format, epoch: new Date(0), trace: trace.inTimeOrder(), leftovers };
}

async function readInto(trace: Trace, leftovers: Leftovers, path: string): Promise<TraceFormat> {
  await using lines = linesOf(path);
  const opening = await linesToRecognize(lines);
  const first = opening[0]?.text;
  if (first === undefined) throw empty(path);
  const format = first.replace(BYTE_ORDER_MARK, "") === CSV_HEADER ? "csv" : "access_log";
  if (format === "access_log" && !opening.some(({ text }) => looksLikeAccessLog(text))) {
    throw unrecognized(path);
  }
  const read = format === "csv" ? csvReader(trace) : accessLogReader(trace, leftovers);
  for (const line of format === "csv" ? opening.slice(1) : opening) read(line);
  for await (const line of lines) read(line);
  return format;
}

async function linesToRecognize(lines: AsyncGenerator<Line>): Promise<Line[]> {
  const opening: Line[] = [];
  while (opening.length < LINES_TO_RECOGNIZE) {
    const { value, done } = await lines.next();
    if (done === true) break;
    opening.push(value);
    if (looksLikeAccessLog(value.text) || (opening.length === 1 && value.text.endsWith(CSV_HEADER)))
      break;
  }
  return opening;
}

function empty(path: string): InputError {
  return new InputError(
    "trace_empty",
    `the trace ${path} holds no operation`,
    "Give a trace with at least one operation that reads, writes or deletes.",
  );
}

function unrecognized(path: string): InputError {
  return new InputError(
    "trace_unrecognized",
    `the trace ${path} is in no known format`,
    `Give a CSV file whose first line is ${CSV_HEADER}, or an access log in the combined format.`,
  );
}
