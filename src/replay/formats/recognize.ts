import type { Line } from "../lines.ts";
import { parseCombined } from "./combined.ts";
import { csvHeader } from "./csv.ts";
import { parseJsonLine } from "./json-lines.ts";
import type { ParseLine } from "./log-entry.ts";
import { parseS3 } from "./s3.ts";

const byteOrderMark = "\u00ef\u00bb\u00bf";

const parsers = {
  s3_access_log: parseS3,
  access_log: parseCombined,
  json_lines: parseJsonLine,
} as const satisfies Readonly<Record<string, ParseLine>>;

export type LogFormat = keyof typeof parsers;
export type TraceFormat = "csv" | LogFormat;

export function parserOf(format: LogFormat): ParseLine {
  return parsers[format];
}

/** The format that a line shows, if it shows one. */
export function formatOf({ number, text }: Line): TraceFormat | undefined {
  if (number === 1 && text.replace(byteOrderMark, "") === csvHeader) return "csv";
  const names = Object.keys(parsers) as LogFormat[];
  return names.find((name) => !("bad" in parsers[name](text)));
}
