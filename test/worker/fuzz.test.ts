import fc from "fast-check";
import { Registry } from "prom-client";
import { expect, onTestFinished, test } from "vitest";
import { serveHealthAndMetrics } from "../../src/http/health-and-metrics.ts";
import { workerDeclaration } from "../../src/settings/worker.ts";
import { hostileRequest, tries } from "../harness/hostile.ts";
import { inside, rawRequest, statusOf } from "../harness/raw-request.ts";

const requests = hostileRequest({
  targets: ["/healthz", "/readyz", "/metrics", "/metrics?name[]=", "/"],
  headers: ["Accept: ", "Authorization: ", "Content-Type: ", "Accept-Encoding: gzip"],
  bodies: ["{}", "x=y"],
});

test("no bytes of a request to a worker bring a fault, the inside of the program, or its end", async () => {
  const server = await serveHealthAndMetrics({
    register: new Registry(),
    address: { host: "127.0.0.1", port: 0 },
    settings: workerDeclaration,
    isReady: () => true,
  });
  onTestFinished(server.stop);
  await fc.assert(
    fc.asyncProperty(requests, async (bytes) => {
      const answer = await rawRequest(server.url, bytes);
      expect(statusOf(answer) ?? 400).toBeLessThan(500);
      expect(answer).not.toMatch(inside);
    }),
    tries(150),
  );
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
}, 600_000);
