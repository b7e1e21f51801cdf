import type { ServerResponse } from "node:http";
import { meantToBeRead, unexpected } from "../graphql/mask-error.ts";

export function respondJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json; charset=utf-8" });
  response.end(JSON.stringify(body));
}

/** In the form of GraphQL's errors, so that a client reads all of them alike. */
export function respondError(response: ServerResponse, error: Error, production: boolean): void {
  // Whoever asked has gone: nobody is left to be told, and nothing went wrong here.
  if (response.destroyed) return;
  const { message, extensions } = meantToBeRead(error) ?? unexpected(error, production);
  const status = Number(String(extensions.code).slice(2));
  if (response.headersSent) {
    // Too late to say so: what was cut short must not look complete.
    response.destroy();
    return;
  }
  respondJson(response, status, { errors: [{ message, extensions }] });
}
