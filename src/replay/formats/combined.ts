import type { Parsed } from "./log-entry.ts";
import { bucketOf, keyOfQuery, requestOf } from "./request.ts";
import { bytesOf } from "./sizes.ts";
import { commonTime } from "./time.ts";

// host ident user [time] "request" status bytes, whatever follows: `"referer" "agent"` as a rule.
const head = /^(\S+) \S+ ([^[]*?) ?\[([^\]]*)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)(?: (.*))?$/;
/** How nginx can say it behind all others: request_length=$request_length. */
const receivedField = /(?:^|[\s"])request_length="?(\d+)/;

/** A line of a web server's log, in the common or the combined format, or one that begins so. */
export function parseCombined(text: string): Parsed {
  const fields = head.exec(text);
  if (fields === null) return { bad: "not in the combined log format" };
  const [, address, user, time, line, status, bytes, rest = ""] = fields as unknown as [
    ...[string, string, string, string, string, string, string],
    string | undefined,
  ];
  const at = commonTime(time);
  if (at === undefined) return { bad: "no valid time" };
  const request = requestOf(line);
  if (request === undefined) return { bad: "no valid request" };
  const answered = bytesOf(bytes);
  if (answered === undefined) return { bad: "size too large" };
  return {
    entry: {
      ...at,
      ...request,
      status: Number(status),
      answered,
      received: bytesOf(receivedField.exec(rest)?.[1]),
      error: undefined,
      address,
      user: user === "-" || user === "" ? undefined : user,
      key: keyOfQuery(request.query),
      bucket: bucketOf(request.path),
    },
  };
}
