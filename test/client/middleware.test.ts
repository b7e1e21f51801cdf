import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import fastify, { type FastifyRequest } from "fastify";
import { type Context, Hono } from "hono";
import * as prometheus from "prom-client";
import { Registry } from "prom-client";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { decisionFor, denial } from "../../src/client/decisions/decision.ts";
import { headersFor } from "../../src/client/decisions/headers-for.ts";
import { UnauthorizedError } from "../../src/client/errors.ts";
import { openTelemetryHooks } from "../../src/client/metrics/opentelemetry.ts";
import { prometheusHooks } from "../../src/client/metrics/prometheus.ts";
import { limitExpress } from "../../src/client/middleware/express.ts";
import { limitFastify } from "../../src/client/middleware/fastify.ts";
import { limitHono } from "../../src/client/middleware/hono.ts";
import type { Checks, RequestCost } from "../../src/client/middleware/request-rule.ts";
import { LimiterDouble } from "../../src/client/testing/limiter-double.ts";

const cost = ({ path }: { readonly path: string }) =>
  path === "/free" ? undefined : { operation: "head" };

describe("headersFor", () => {
  test("names quota, rest and time as the gateway does", () => {
    const admitted = decisionFor(true, null, {
      remaining: 7.9,
      remainingBytes: 100,
      limit: 10,
      resetMs: 1_500,
    });
    expect(headersFor(admitted)).toEqual({
      "RateLimit-Policy": '"iops_l2";q=10;w=2;qu="requests"',
      RateLimit: '"iops_l2";r=7, "bandwidth_l2";r=100',
    });
    expect(headersFor(denial("iops_l1", 1_200, 5))).toEqual({
      RateLimit: '"iops_l2";r=5, "iops_l1";r=0;t=2',
      "Retry-After": "2",
    });
    expect(headersFor(denial("exceeds_capacity", null))).toEqual({});
    expect(headersFor(decisionFor(true, "iops_l2"))).toEqual({ "X-RateLimit-Shadow": "iops_l2" });
  });
});

interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A server of one framework whose routes all answer "served", as `GET` sees it. */
interface Service {
  get(path: string): Promise<Answered>;
}

interface Rules {
  readonly limiter: Checks | (() => Checks);
  readonly cost: (request: { readonly path: string }) => RequestCost | undefined;
}

/** Listens on a port of this machine until the test ends. */
async function served(server: Server): Promise<Service> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  return {
    async get(path) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      const { status, headers } = response;
      return { status, headers, text: await response.text() };
    },
  };
}

async function onExpress({ limiter, cost }: Rules): Promise<Service> {
  const app = express();
  app.use(limitExpress<express.Request>({ limiter, cost }));
  app.use((_request: express.Request, response: express.Response) => {
    response.send("served");
  });
  const onError: express.ErrorRequestHandler = (error, _request, response, _next) => {
    response.status(500).send(error.message);
  };
  app.use(onError);
  return served(createServer(app));
}

async function onFastify({ limiter, cost }: Rules): Promise<Service> {
  const app = fastify();
  app.addHook(
    "onRequest",
    limitFastify<FastifyRequest>({ limiter, cost: ({ url }) => cost({ path: url }) }),
  );
  app.get("/*", async () => "served");
  await app.ready();
  onTestFinished(() => app.close());
  return served(app.server);
}

async function onHono({ limiter, cost }: Rules): Promise<Service> {
  const app = new Hono();
  app.use(limitHono<Context>({ limiter, cost: ({ req }) => cost({ path: req.path }) }));
  app.get("/*", (context) => context.text("served"));
  app.onError((error, context) => context.text(error.message, 500));
  return {
    async get(path) {
      const response = await app.request(path);
      const { status, headers } = response;
      return { status, headers, text: await response.text() };
    },
  };
}

describe.each([
  ["Express", onExpress],
  ["Fastify", onFastify],
  ["Hono", onHono],
])("middleware on %s", (_, serve) => {
  test("passes an admitted request on with its fields, and answers a denied one", async () => {
    const service = await serve({ limiter: new LimiterDouble({ limit: 1 }), cost });
    const admitted = await service.get("/");
    expect(admitted).toMatchObject({ status: 200, text: "served" });
    expect(admitted.headers.get("RateLimit")).toBe('"iops_l2";r=0');
    const denied = await service.get("/");
    expect(denied.status).toBe(429);
    expect(denied.headers.get("Retry-After")).toBe("1");
    expect(denied.headers.get("Content-Type")).toMatch("application/problem+json");
    expect(JSON.parse(denied.text)).toMatchObject({ status: 429, reason: "iops_l2" });
  });

  test("passes a request without a cost on as it is", async () => {
    const service = await serve({ limiter: new LimiterDouble({ limit: 1 }), cost });
    for (let i = 0; i < 3; i += 1) {
      const free = await service.get("/free");
      expect(free).toMatchObject({ status: 200, text: "served" });
      expect(free.headers.has("RateLimit")).toBe(false);
    }
  });

  test("answers a request that can never be admitted, and one in an outage", async () => {
    const limiter = new LimiterDouble({ limit: 1, costs: { head: 2 } });
    const service = await serve({ limiter, cost });
    expect((await service.get("/")).status).toBe(413);
    limiter.setDown(true);
    const away = await service.get("/");
    expect(away.status).toBe(503);
    expect(away.headers.get("Retry-After")).toBe("1");
  });

  test("answers an error of the limiter by its status", async () => {
    const unknown = {
      checkAsync: () => Promise.reject(new UnauthorizedError("QS401", "unknown api key")),
    };
    const rejected = await (await serve({ limiter: unknown, cost })).get("/");
    expect(rejected.status).toBe(401);
    expect(JSON.parse(rejected.text)).toEqual({ title: "unknown api key", status: 401 });
  });

  test("hands an error of the caller's functions to the framework", async () => {
    const broken = () => {
      throw new Error("broken");
    };
    const failed = await (await serve({ limiter: broken, cost })).get("/");
    expect(failed.status).toBe(500);
    expect(failed.text).toContain("broken");
  });

  test("delays a request as a leaky bucket says", async () => {
    const slow = { checkAsync: async () => decisionFor(true, null, { delayMs: 5 }) };
    const service = await serve({ limiter: slow, cost });
    expect(await service.get("/")).toMatchObject({ status: 200, text: "served" });
  });
});

describe("the test double", () => {
  test("has a clock that tests set", async () => {
    const limiter = new LimiterDouble({ limit: 10, costs: { list: 3 } });
    for (let i = 0; i < 3; i += 1) expect(limiter.check("list").allowed).toBe(true);
    expect(limiter.check("list")).toMatchObject({ reason: "iops_l2", retryAfterMs: 200 });
    limiter.advance(200);
    expect(limiter.check("list").allowed).toBe(true);
    limiter.setDown(true);
    expect(await limiter.checkAsync("list")).toMatchObject({ reason: "store_unavailable" });
  });

  test("waits by moving its clock, up to maxWaitMs", async () => {
    const limiter = new LimiterDouble({ limit: 1 });
    expect((await limiter.acquire("head")).allowed).toBe(true);
    expect((await limiter.acquire("head", 0, { maxWaitMs: 500 })).allowed).toBe(false);
    expect(limiter.nowMs).toBe(0);
    expect((await limiter.acquire("head")).allowed).toBe(true);
    expect(limiter.nowMs).toBeGreaterThanOrEqual(1_000);
    const aborted = limiter.acquire("head", 0, { signal: AbortSignal.abort() });
    await expect(aborted).rejects.toMatchObject({ code: "QS499", status: 499 });
  });
});

describe("hooks for metrics", () => {
  test("count with prom-client", async () => {
    const registry = new Registry();
    const hooks = prometheusHooks(prometheus as never, registry);
    hooks.onDecision?.(denial("iops_l2", 5), "head");
    hooks.onOutage?.(new UnauthorizedError("QS503", "x"));
    const text = await registry.metrics();
    expect(text).toContain('{operation="head",outcome="denied",reason="iops_l2"} 1');
    expect(text).toContain("qos_client_outages_total 1");
  });

  test("count with a meter of OpenTelemetry", () => {
    const add = vi.fn();
    const hooks = openTelemetryHooks({ createCounter: () => ({ add }) });
    hooks.onDecision?.(decisionFor(true, null), "head");
    expect(add).toHaveBeenCalledWith(1, { operation: "head", outcome: "admitted", reason: "" });
  });

  test("put each decision into the caller's span, where there is one", () => {
    const addEvent = vi.fn();
    let span: { addEvent: typeof addEvent } | undefined = { addEvent };
    const meter = { createCounter: () => ({ add: () => {} }) };
    const hooks = openTelemetryHooks(meter, { getActiveSpan: () => span });
    hooks.onDecision?.(denial("iops_l2", 5), "head");
    span = undefined;
    hooks.onDecision?.(denial("iops_l2", 5), "head");
    const denied = { operation: "head", outcome: "denied", reason: "iops_l2" };
    expect(addEvent.mock.calls).toEqual([["qos.decision", denied]]);
  });
});
