import { createTransport } from "nodemailer";
import { PermanentFailure } from "./failure.ts";
import type { AlertSettings } from "./settings.ts";

type Settings = Pick<AlertSettings, "timeoutMs"> & { readonly smtpUrl: string };

export function makeTransport({ smtpUrl, timeoutMs }: Settings) {
  return createTransport({
    url: smtpUrl,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    // What a tenant writes names no file and no address to fetch.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
}

export interface SmtpError extends Error {
  readonly code?: string;
  readonly responseCode?: number;
}

/** A PermanentFailure where the server refuses all recipients permanently (RFC 5321, 4.2.1). */
export function failureOf(error: SmtpError): Error {
  const { code, responseCode = 0 } = error;
  const isForGood = code === "EENVELOPE" && responseCode >= 500;
  return isForGood ? new PermanentFailure(error.message) : error;
}

/** Names may have characters that end a header, or turn the direction of the text. */
export function oneLine(value: string): string {
  return value.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, " ").trim();
}
