import type { IncomingMessage, ServerResponse } from "node:http";

const allowedHeaders = "authorization, content-type, x-request-id, idempotency-key, x-dry-run";

/** Lets pages of the listed origins read answers; without a list, none but the API's own. */
export function setCorsHeaders(
  { headers }: IncomingMessage,
  response: ServerResponse,
  origins: readonly string[],
): void {
  if (origins.length === 0) return;
  response.setHeader("Vary", "Origin");
  const { origin } = headers;
  if (origin === undefined || !origins.includes(origin)) return;
  response.setHeader("Access-Control-Allow-Origin", origin);
  response.setHeader("Access-Control-Allow-Headers", allowedHeaders);
  response.setHeader("Access-Control-Allow-Methods", "GET, POST");
  response.setHeader("Access-Control-Expose-Headers", "x-request-id, x-row-limit");
  response.setHeader("Cross-Origin-Resource-Policy", "cross-origin");
}
