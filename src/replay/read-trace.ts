import { InputError } from "../user-error.ts";
import { type Charge, chargeOf, type Reading, unnamed } from "./charge-of.ts";
import { count, type Findings, nameBadLine, noFindings } from "./findings.ts";
import { csvHeader, csvReader } from "./formats/csv.ts";
import { formatOf, type LogFormat, parserOf, type TraceFormat } from "./formats/recognize.ts";
import { type Line, linesOf } from "./lines.ts";
import { Trace } from "./trace.ts";

export interface Recording {
  /** Of each trace, in their order. */
  readonly formats: readonly TraceFormat[];
  /** What the offsets of the trace count from. */
  readonly epoch: Date;
  readonly trace: Trace;
  readonly findings: Findings;
}

/** A block trace has no date of its own: its first moment is set here. */
const csvEpoch = new Date("2026-01-01T00:00:00Z");
/** A log may open with damaged lines; a file with nothing but them is not a log. */
const linesToRecognize = 1_000;

/** Reads whole traces, each in whichever of the known formats, into one in time order. */
export async function readTraces(paths: readonly string[], reading: Reading): Promise<Recording> {
  const findings = noFindings();
  const trace = new Trace();
  const formats: TraceFormat[] = [];
  for (const path of paths) formats.push(await readInto(trace, findings, path, reading));
  if (trace.length === 0) throw empty(paths);
  const isCsv = formats.includes("csv");
  if (isCsv && formats.some((format) => format !== "csv")) throw mixed();
  if (isCsv) findings.hasWholeSeconds = false;
  const ordered = isCsv && paths.length === 1 ? trace : trace.inTimeOrder();
  return {
    formats,
    epoch: isCsv ? csvEpoch : new Date(0),
    trace: findings.hasWholeSeconds ? ordered.spreadOverSeconds() : ordered,
    findings,
  };
}

async function readInto(
  trace: Trace,
  findings: Findings,
  path: string,
  reading: Reading,
): Promise<TraceFormat> {
  await using lines = linesOf(path);
  const { opening, format } = await recognize(lines, path);
  const read =
    format === "csv"
      ? csvReader(trace, unnamed)
      : logReader(trace, findings, path, format, reading);
  for (const line of format === "csv" ? opening.slice(1) : opening) read(line);
  for await (const line of lines) read(line);
  return format;
}

async function recognize(lines: AsyncGenerator<Line>, path: string) {
  const opening: Line[] = [];
  while (opening.length < linesToRecognize) {
    const { value, done } = await lines.next();
    if (done === true) break;
    opening.push(value);
    const format = formatOf(value);
    if (format !== undefined) return { opening, format };
  }
  throw opening.length === 0 ? empty([path]) : unrecognized(path);
}

/** Adds what the gateway charges for the requests of a log, each at its own time since the Unix epoch. */
function logReader(
  trace: Trace,
  findings: Findings,
  path: string,
  format: LogFormat,
  reading: Reading,
): (line: Line) => void {
  const parse = parserOf(format);
  const add = ({ atUs, operation, size, application }: Charge) =>
    trace.add(atUs, operation, size, application);
  return ({ number, text }) => {
    if (text === "" || text.startsWith("#")) return;
    const parsed = parse(text);
    if ("bad" in parsed) {
      nameBadLine(findings, { trace: path, line: number, reason: parsed.bad });
    } else if ("skipped" in parsed) {
      count(findings.skipped, parsed.skipped);
    } else {
      findings.hasWholeSeconds &&= parsed.entry.isWholeSecond;
      const charge = chargeOf(parsed.entry, reading, findings);
      if (charge !== undefined) add(charge);
    }
  };
}

function empty(paths: readonly string[]): InputError {
  return new InputError(
    "trace_empty",
    `the trace ${paths.join(", ")} holds no operation`,
    "Give a trace with at least one operation that reads, writes or deletes.",
  );
}

function mixed(): InputError {
  return new InputError(
    "trace_mixed",
    "a block trace has no date, and cannot be merged with logs",
    "Replay block traces and logs one after the other.",
  );
}

function unrecognized(path: string): InputError {
  return new InputError(
    "trace_unrecognized",
    `the trace ${path} is in no known format`,
    `Give a CSV file whose first line is ${csvHeader}, a web server's log that begins as the common ` +
      "format does, S3's server access log, or JSON lines.",
  );
}
