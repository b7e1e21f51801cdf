import { count, type Findings } from "./findings.ts";
import type { LogEntry } from "./formats/log-entry.ts";
import { operationOf, type RequestRule, ruleOf } from "./operation-map.ts";

/** What tells applications apart, where it is asked for. */
export const groups = ["user", "key", "bucket", "address"] as const;
export type Group = (typeof groups)[number];

/** How a log is read where it does not say all. */
export interface Reading {
  /** What an upload is taken for whose size the log does not say. */
  readonly uploadSize: bigint;
  /** As QOS_REFUND_5XX of the gateway. */
  readonly refund5xx: boolean;
  readonly group: Group | undefined;
}

/** An operation as the limiter is asked for it. */
export interface Charge {
  readonly atUs: bigint;
  readonly operation: string;
  readonly size: bigint;
  readonly application: string;
}

/** The application of requests that name none. */
export const unnamed = "-";

/**
 * S3's words by which the gateway knows that a request was not signed by the key's holder:
 * src/gateway/lua/qos/identity/storage_verdict.lua, which test/conformance/operations.test.ts holds these to.
 */
export const unsignedCodes: ReadonlySet<string> = new Set([
  "AuthorizationHeaderMalformed",
  "AuthorizationQueryParametersError",
  "CredentialsNotSupported",
  "ExpiredToken",
  "IncompleteSignature",
  "InvalidAccessKeyId",
  "InvalidClientTokenId",
  "InvalidSecurity",
  "InvalidToken",
  "MissingAuthenticationToken",
  "MissingSecurityElement",
  "MissingSecurityHeader",
  "RequestExpired",
  "RequestTimeTooSkewed",
  "SignatureDoesNotMatch",
  "TokenRefreshRequired",
  "Unauthorized",
]);

/** What the gateway charges for a request, undefined where it gives it back. */
export function chargeOf(
  entry: LogEntry,
  reading: Reading,
  findings: Findings,
): Charge | undefined {
  const reason = reasonToGiveBack(entry, reading);
  if (reason !== undefined) {
    count(findings.givenBack, reason);
    return undefined;
  }
  if (isForbiddenUnexplained(entry)) count(findings.unknown, forbidden);
  const rule = ruleOf(entry.method, entry.path, entry.query);
  if (rule.countsKeys && entry.isKeyOfMany === undefined) count(findings.unknown, manyKeys);
  const size = entry.isKeyOfMany ? 0n : sizeOf(entry, rule, reading, findings);
  return {
    atUs: entry.atUs,
    operation: operationOf(rule, size),
    size,
    application: nameOf(reading.group && entry[reading.group]),
  };
}

const forbidden =
  "403 without a reason, or AccessDenied: charged, though the gateway gives back unsigned ones";
const manyKeys = "deletions of many keys: each charged as one key";
const copiesInside = "copies inside the store: charged without the bytes that they copied";
const unknownSize = "uploads without a size: each taken for what --upload-size says";

/** As long as the name of an application may be. */
function nameOf(text = unnamed): string {
  return text.slice(0, 255);
}

/** The gateway reads the message of AccessDenied, which no log has. */
function isForbiddenUnexplained({ status, error }: LogEntry): boolean {
  return status === 403 && (error === undefined || error === "AccessDenied");
}

function isUnsigned({ status, error }: LogEntry): boolean {
  if (status === 401) return true;
  return (status === 400 || status === 403) && error !== undefined && unsignedCodes.has(error);
}

function reasonToGiveBack(entry: LogEntry, { refund5xx }: Reading): string | undefined {
  if (isUnsigned(entry)) return "not signed";
  const { status } = entry;
  return status >= 500 && refund5xx ? "failed in the storage" : undefined;
}

function sizeOf(entry: LogEntry, rule: RequestRule, reading: Reading, findings: Findings): bigint {
  if (rule.transfers === "down") return entry.answered;
  if (entry.method === "COPY") count(findings.unknown, copiesInside);
  if (entry.received !== undefined) return entry.received;
  if (rule.transfers !== "up") return 0n;
  count(findings.unknown, unknownSize);
  return reading.uploadSize;
}
