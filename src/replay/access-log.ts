import { LARGEST_SIZE, LATEST_OFFSET } from "./csv.ts";
import type { Line } from "./lines.ts";
import type { Kind, Trace } from "./trace.ts";

/** Lines of a web server's log that are not operations. */
export interface Leftovers {
  /** Requests of methods that touch no data, by method. */
  readonly skipped: Map<string, number>;
  /** Lines that are not requests: their count, and the first of them by number. */
  readonly badLines: { count: number; readonly first: { line: number; reason: string }[] };
}

const NAMED_BAD_LINES = 20;
const MICROSECONDS_PER_MILLISECOND = 1_000n;

// host ident user [time] "request" status bytes, then anything: `"referer" "agent"` as a rule.
const ENTRY =
  /^\S+ \S+ [^[]*\[([^\]]*)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)(?: "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*".*)?$/;
const TIME = /^(\d{2})\/([A-Z][a-z]{2})\/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})$/;
const REQUEST = /^([A-Za-z][A-Za-z_-]*) \S/;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const KIND_OF: ReadonlyMap<string, Kind> = new Map([
  ["GET", "read"],
  ["PUT", "write"],
  ["POST", "write"],
  ["HEAD", "head"],
  ["DELETE", "delete"],
]);

/** Adds the requests of an access log to `trace`, each at its own time since the Unix epoch. */
export function accessLogReader(trace: Trace, leftovers: Leftovers): (line: Line) => void {
  return ({ number, text }) => {
    if (text === "") return;
    const entry = parse(text);
    if (typeof entry === "string") {
      nameBadLine(leftovers, number, entry);
      return;
    }
    const kind = KIND_OF.get(entry.method);
    if (kind !== undefined) trace.add(entry.at, kind, entry.size);
    else leftovers.skipped.set(entry.method, (leftovers.skipped.get(entry.method) ?? 0) + 1);
  };
}

export function looksLikeAccessLog(text: string): boolean {
  return typeof parse(text) !== "string";
}

interface Entry {
  readonly at: bigint;
  readonly method: string;
  readonly size: bigint;
}

/** The request in a line, or why there is none. */
function parse(line: string): Entry | string {
  const fields = ENTRY.exec(line);
  if (fields === null) return "not in the combined log format";
  const [, time, request, , bytes] = fields as unknown as [string, string, string, string, string];
  const at = parseTime(time);
  if (at === undefined) return "no valid time";
  const method = REQUEST.exec(request)?.[1];
  if (method === undefined) return "no valid request";
  const size = bytes === "-" ? 0n : BigInt(bytes);
  return size <= LARGEST_SIZE ? { at, method, size } : "size too large";
}

function parseTime(text: string): bigint | undefined {
  const fields = TIME.exec(text);
  if (fields === null) return undefined;
  const [day, year, hour, minute, second, zoneHours, zoneMinutes] = [1, 3, 4, 5, 6, 8, 9].map(
    (at) => Number(fields[at]),
  ) as [number, number, number, number, number, number, number];
  const month = MONTHS.indexOf(fields[2] as string);
  const local = new Date(Date.UTC(year, month, day, hour, minute, Math.min(second, 59)));
  const isReal =
    local.getUTCDate() === day &&
    local.getUTCMonth() === month &&
    hour < 24 &&
    minute < 60 &&
    second < 61;
  if (!isReal) return undefined;
  const zone = (zoneHours * 60 + zoneMinutes) * (fields[7] === "-" ? -60_000 : 60_000);
  const at = BigInt(local.getTime() - zone) * MICROSECONDS_PER_MILLISECOND;
  return at >= 0n && at <= LATEST_OFFSET ? at : undefined;
}

function nameBadLine({ badLines }: Leftovers, line: number, reason: string): void {
  badLines.count += 1;
  if (badLines.first.length < NAMED_BAD_LINES) badLines.first.push({ line, reason });
}
