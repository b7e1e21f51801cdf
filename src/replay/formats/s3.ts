import type { Parsed } from "./log-entry.ts";
import { keyOfQuery, targetOf } from "./request.ts";
import { bytesOf } from "./sizes.ts";
import { commonTime } from "./time.ts";

// owner bucket [time] address requester id operation key "request" status error bytes object-size …
const head =
  /^\S+ (\S+) \[([^\]]*)\] (\S+) (\S+) \S+ ([A-Z0-9_]+(?:\.[A-Z0-9_]+)+) (\S+) (?:"([^"]*)"|-) (\d{3}|-) (\S+) (\d+|-) (\d+|-)(?: |$)/;

/** Where the size of the object is that of the body, or of what was copied. */
const sized = /^(?:PUT|POST|COPY)\.(?:OBJECT|PART)$/;
/** S3 writes a line for each key beside it. */
const keysFollow = "deletion of keys that follow one by one";
/** A copy reads its source: that line is of the same request. */
const sourceOfCopy = /_GET$/;

/** A line of Amazon S3's server access log. */
export function parseS3(text: string): Parsed {
  const fields = head.exec(text);
  if (fields === null) return { bad: "not in the format of S3's server access log" };
  const [, bucket, time, address, requester, operation, key, request, status, error, sent, size] =
    fields.map((field) => (field === "-" ? undefined : field));
  const skipped = skippedOf(operation as string);
  if (skipped !== undefined) return { skipped };
  const at = commonTime(time ?? "");
  if (at === undefined) return { bad: "no valid time" };
  const [answered, object] = [bytesOf(sent ?? "-"), bytesOf(size ?? "-")];
  if (answered === undefined || object === undefined) return { bad: "size too large" };
  const { query } = targetOf(request?.split(" ")[1] ?? "");
  return {
    entry: {
      ...{ ...at, ...requestOf(operation as string, object), query, answered, error },
      path: ["", bucket, key].filter((part) => part !== undefined).join("/"),
      status: Number(status ?? 200),
      ...{ address, user: requester, bucket, key: keyOfQuery(query) },
    },
  };
}

/** Undefined for a request of a caller. */
function skippedOf(operation: string): string | undefined {
  const isOfTheStore = operation.startsWith("S3.") || sourceOfCopy.test(operation);
  if (isOfTheStore) return operation;
  return operation.endsWith(".POST.MULTI_OBJECT_DELETE") ? keysFollow : undefined;
}

function requestOf(operation: string, object: bigint) {
  const [source, verb = "", resource] = operation.split(".");
  return {
    method: verb === "COPY" ? "PUT" : verb,
    received: sized.test(`${verb}.${resource}`) ? object : 0n,
    ...(source === "BATCH" && { isKeyOfMany: true }),
  };
}
