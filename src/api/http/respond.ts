import type { ServerResponse } from "node:http";
import { meantToBeRead, unexpected } from "../graphql/mask-error.ts";

export function respondJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json; charset=utf-8" });
  response.end(JSON.stringify(body));
}

/** In the form of GraphQL's errors, so that a client reads all of them alike. */
export function respondError(
  response: ServerResponse,
  error: Error,
  production: boolean,
  told: (code: unknown) => void,
): void {
  // The client has disconnected: there is no one to answer, and it is not an error.
  if (response.destroyed) return;
  const { message, extensions } = meantToBeRead(error) ?? unexpected(error, production);
  told(extensions.code);
  const status = Number(String(extensions.code).slice(2));
  if (response.headersSent) {
    // Headers were sent: close the connection, so that the answer does not look complete.
    response.destroy();
    return;
  }
  const { retryAfterMs } = extensions;
  if (typeof retryAfterMs === "number") {
    response.setHeader("Retry-After", String(Math.ceil(retryAfterMs / 1000)));
  }
  respondJson(response, status, { errors: [{ message, extensions }] });
}
