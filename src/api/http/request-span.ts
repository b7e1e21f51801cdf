import type { IncomingMessage, ServerResponse } from "node:http";
import { context, propagation, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import {
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_URL_PATH,
} from "@opentelemetry/semantic-conventions";

/** Spans are kept until they are sent, and callers choose paths. */
const longestText = 250;

/** Other paths are files of the console, or what a caller made up: spans have few names. */
const named = /^\/(graphql|export\/(metrics|audit)\.(csv|ndjson))$/;

/** Of health checks there is nothing to learn. */
const untraced = new Set(["/healthz", "/readyz"]);

/**
 * Does the work in a span that lasts until the answer is sent, and continues the caller's trace where
 * the request names one.
 */
export function inRequestSpan(
  message: IncomingMessage,
  response: ServerResponse,
  path: string,
  work: () => void,
): void {
  if (untraced.has(path)) {
    work();
    return;
  }
  const method = message.method ?? "GET";
  const parent = propagation.extract(context.active(), message.headers);
  const attributes = {
    [ATTR_HTTP_REQUEST_METHOD]: method,
    [ATTR_URL_PATH]: path.slice(0, longestText),
  };
  const span = trace
    .getTracer("storage-qos")
    .startSpan(
      named.test(path) ? `${method} ${path}` : method,
      { kind: SpanKind.SERVER, attributes },
      parent,
    );
  response.once("close", () => {
    span.setAttribute(ATTR_HTTP_RESPONSE_STATUS_CODE, response.statusCode);
    if (!response.writableFinished || response.statusCode >= 500) {
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end();
  });
  context.with(trace.setSpan(parent, span), work);
}
