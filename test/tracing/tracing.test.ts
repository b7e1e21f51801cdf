import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { trace } from "@opentelemetry/api";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { log, logInto } from "../../src/log.ts";
import { startTracing, type Tracing } from "../../src/tracing/start-tracing.ts";
import { traced } from "../../src/tracing/traced.ts";
import { startWorker } from "../../src/worker/worker.ts";
import { serveTwoTenants } from "../api/world.ts";
import { holdClock } from "../worker/hold-clock.ts";
import { startCollector } from "./collector.ts";

const { database, api } = await serveTwoTenants();
const collector = await startCollector();

test("a process that names no collector traces nothing", async () => {
  const tracing = await startTracing("storage-qos-api", {});
  await traced("work", { attributes: {} }, async (span) => expect(span.isRecording()).toBe(false));
  await tracing.stop();
});

test("none beside an endpoint turns tracing off", async () => {
  await startTracing("storage-qos-api", {
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_TRACES_EXPORTER: "none" },
  });
  expect(trace.getTracer("a test").startSpan("work").isRecording()).toBe(false);
});

test("a protocol that is not spoken is refused at the start", async () => {
  const env = { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" };
  await expect(startTracing("storage-qos-api", env)).rejects.toMatchObject({
    code: "setting_invalid",
    message: "invalid OTEL_EXPORTER_OTLP_PROTOCOL: none of http/protobuf: grpc",
  });
});

describe("where a collector is named", () => {
  const folder = mkdtempSync(join(tmpdir(), "qos-tracing-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  let tracing: Tracing;
  beforeAll(async () => {
    vi.stubEnv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url);
    tracing = await startTracing("storage-qos-api");
  });
  const traceId = "0af7651916cd43dd8448eb211c80319c";

  test("the spans of a request continue its caller's trace, and tell no variables", async () => {
    const { accessToken } = await api.signIn("system_admin@mine.example");
    const answer = await fetch(new URL("/graphql", api.url), {
      method: "POST",
      headers: {
        ...{ "content-type": "application/json", authorization: `Bearer ${accessToken}` },
        traceparent: `00-${traceId}-b7ad6b7169203331-01`,
      },
      body: JSON.stringify({
        query:
          "query Named($name: String!) { roles(first: 1, filter: {name: {equalTo: $name}}) { totalCount } }",
        variables: { name: "a-value-of-a-variable" },
      }),
    });
    expect(answer.status).toBe(200);
  });

  test("callers choose neither the names of spans nor how long they are", async () => {
    await fetch(new URL(`/made-up/${"p".repeat(300)}`, api.url));
    await api.nobody.ask(`query ${"n".repeat(300)} { __typename }`);
  });

  test("a job has a span, and one that fails says why", async () => {
    await holdClock(database);
    await database.sql`select graphile_worker.add_job('verify_ledger')`;
    await database.sql`
      select graphile_worker.add_job('aggregate_metrics', '{"grain": "year"}', max_attempts => 1)
    `;
    const worker = await startWorker({ databaseUrl: database.urlAs("rate_limiter_worker") });
    await expect
      .poll(async () => {
        const [jobs] = await database.sql`
          select count(*)::integer as due from graphile_worker.jobs where attempts < max_attempts
        `;
        return jobs?.due;
      })
      .toBe(0);
    await worker.stop();
  });

  test("a line of the log names its span", async () => {
    const path = join(folder, "log");
    logInto(path);
    log.level = "info";
    const spanId = await traced("logging", { attributes: {} }, async (span) => {
      log.info("in a span");
      return span.spanContext().spanId;
    });
    log.level = "silent";
    await expect.poll(() => readFileSync(path, "utf8")).toContain(`"span_id":"${spanId}"`);
  });

  test("all of it has been sent when tracing has stopped", async () => {
    await tracing.stop();
    for (const part of [
      ...["storage-qos-api", "POST /graphql", "query Named", "graphql.operation.name"],
      ...[Buffer.from(traceId, "hex"), "job verify_ledger", "job aggregate_metrics", "job.attempt"],
      ...["payload_invalid", "logging"],
    ]) {
      expect(collector.holds(part), `${part}`).toBe(true);
    }
    expect(collector.holds(`query ${"n".repeat(100)}`)).toBe(true);
    for (const part of [
      "a-value-of-a-variable",
      "GET /made-up",
      "p".repeat(250),
      "n".repeat(101),
    ]) {
      expect(collector.holds(part), part).toBe(false);
    }
  });
});
