import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import { logFor } from "../log.ts";
import { UserError } from "../user-error.ts";
import type { AddressVariables, OperationsAddress } from "./address.ts";

const log = logFor("operations");

export interface Operations {
  readonly register: Registry;
  readonly address: OperationsAddress;
  /** What a reader of an error can set. */
  readonly variables: AddressVariables;
  isReady(): boolean | Promise<boolean>;
  /** Brings values up to date that are asked for with each scrape. */
  refresh?(): Promise<void>;
}

export interface OperationsServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** /metrics for Prometheus, /healthz (the process is alive) and /readyz (it does its work). */
export async function serveOperations(operations: Operations): Promise<OperationsServer> {
  const { register, address, variables, isReady, refresh } = operations;
  const answers: Readonly<Record<string, (response: ServerResponse) => Promise<void>>> = {
    "/healthz": async (response) => say(response, 200, "alive"),
    "/readyz": async (response) => {
      const ready = await isReady();
      say(response, ready ? 200 : 503, ready ? "ready" : "not ready");
    },
    "/metrics": async (response) => {
      await refresh?.();
      const text = await register.metrics();
      response.setHeader("content-type", register.contentType);
      response.end(text);
    },
  };
  const server = createServer((request, response) => {
    // An invalid path, such as //, must not end this process.
    const path = URL.parse(request.url ?? "/", "http://here")?.pathname ?? "";
    const answer = request.method === "GET" ? answers[path] : undefined;
    if (answer === undefined) return say(response, 404, "not found");
    answer(response).catch((err: unknown) => {
      log.error({ err, path }, "a request failed");
      say(response, 500, "failed");
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(refusal(error, address, variables)));
    server.listen(address.port, address.host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${address.host}:${port}`,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function say(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain" }).end(`${text}\n`);
}

function refusal(
  cause: NodeJS.ErrnoException,
  { host, port }: OperationsAddress,
  variables: AddressVariables,
): Error {
  if (cause.code === "EADDRINUSE") {
    return new UserError(
      "port_in_use",
      `port ${port} is taken by another program`,
      `Choose another with ${variables.port}.`,
      { cause },
    );
  }
  return new UserError(
    "address_unusable",
    `nothing listens on port ${port} of ${host}: ${cause.code ?? cause.message}`,
    `Choose an address of this machine with ${variables.host}, and a port that this account may use.`,
    { cause },
  );
}
