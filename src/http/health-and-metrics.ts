import { createServer, type ServerResponse } from "node:http";
import type { Registry } from "prom-client";
import { logFor } from "../log.ts";
import type { Address, AddressSettings } from "./address.ts";
import { listen } from "./listen.ts";

const log = logFor("health-and-metrics");

export interface HealthAndMetrics {
  readonly register: Registry;
  readonly address: Address;
  readonly settings: AddressSettings;
  isReady(): boolean | Promise<boolean>;
  /** Brings values up to date that are asked for with each scrape. */
  refresh?(): Promise<void>;
}

export interface MonitoringServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** /metrics for Prometheus, /healthz (the process is alive) and /readyz (it does its work). */
export async function serveHealthAndMetrics(given: HealthAndMetrics): Promise<MonitoringServer> {
  const { register, address, settings, isReady, refresh } = given;
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
  return {
    url: (await listen(server, address, settings)).replace(/\/$/, ""),
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
