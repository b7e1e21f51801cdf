import type { Parsed } from "./log-entry.ts";
import { bucketOf, keyOfQuery, requestOf, targetOf } from "./request.ts";
import { bytesOf } from "./sizes.ts";
import { commonTime, epochTime, isoTime, type Moment } from "./time.ts";

type Fields = Readonly<Record<string, unknown>>;

/** The names that servers' logs give to what is wanted, the first that is there counts. */
const knownNames = {
  time: ["time", "timestamp", "@timestamp", "time_iso8601", "msec", "ts", "time_local"],
  method: ["method", "request_method"],
  target: ["request_uri", "uri", "url", "path"],
  status: ["status", "status_code"],
  answered: ["body_bytes_sent", "bytes_sent", "response_size", "bytes", "size"],
  received: ["request_length", "bytes_received", "request_size"],
  user: ["remote_user", "user"],
  address: ["remote_addr", "client_ip", "address"],
  key: ["access_key", "api_key", "key"],
  bucket: ["bucket"],
  error: ["error_code"],
} as const;

/** A line that is one JSON object, as nginx writes it with `escape=json`. */
export function parseJsonLine(text: string): Parsed {
  const fields = objectOf(text);
  if (fields === undefined) return { bad: "no JSON object" };
  const at = momentOf(fieldOf(fields, "time"));
  if (at === undefined) return { bad: "no valid time" };
  const request = requestIn(fields);
  if (request === undefined) return { bad: "no valid request" };
  const answered = bytesOf(textOf(fields, "answered") ?? "-");
  if (answered === undefined) return { bad: "size too large" };
  return {
    entry: {
      ...{ ...at, ...request, answered },
      status: Number(textOf(fields, "status") ?? 200),
      received: bytesOf(textOf(fields, "received")),
      ...{ user: textOf(fields, "user"), address: textOf(fields, "address") },
      key: textOf(fields, "key") ?? keyOfQuery(request.query),
      bucket: textOf(fields, "bucket") ?? bucketOf(request.path),
      error: textOf(fields, "error"),
    },
  };
}

function objectOf(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Fields)
      : undefined;
  } catch {
    return undefined;
  }
}

function requestIn(fields: Fields) {
  const method = textOf(fields, "method");
  const target = textOf(fields, "target");
  if (method === undefined || target === undefined) {
    return typeof fields.request === "string" ? requestOf(fields.request) : undefined;
  }
  const { path, query } = targetOf(target);
  const beside = fields.args ?? fields.query;
  return {
    method: method.toUpperCase(),
    path,
    query: query ?? (typeof beside === "string" && beside !== "" ? beside : undefined),
  };
}

function momentOf(value: unknown): Moment | undefined {
  if (typeof value === "number") return epochTime(value);
  if (typeof value !== "string") return undefined;
  if (/^\d+(?:\.\d+)?$/.test(value)) return epochTime(Number(value));
  return isoTime(value) ?? commonTime(value);
}

function fieldOf(fields: Fields, what: keyof typeof knownNames): unknown {
  const name = knownNames[what].find((known) => Object.hasOwn(fields, known));
  return name === undefined ? undefined : fields[name];
}

/** A dash or nothing is how servers write what there is not. */
function textOf(fields: Fields, what: keyof typeof knownNames): string | undefined {
  const value = fieldOf(fields, what);
  const text = typeof value === "number" || typeof value === "string" ? String(value) : "";
  return text === "" || text === "-" ? undefined : text;
}
