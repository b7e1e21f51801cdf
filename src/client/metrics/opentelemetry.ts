import type { LimiterHooks } from "../limiter-options.ts";

interface Counter {
  add(value: number, attributes?: Readonly<Record<string, string>>): void;
}

/** As much of a meter of @opentelemetry/api as is used. */
export interface MeterLike {
  createCounter(name: string, options?: { description?: string }): Counter;
}

/** Hooks that count decisions and outages with a meter of OpenTelemetry. */
export function openTelemetryHooks(meter: MeterLike): LimiterHooks {
  const decisions = meter.createCounter("qos.client.decisions", {
    description: "Decisions by operation, outcome and reason.",
  });
  const outages = meter.createCounter("qos.client.outages", {
    description: "Outages of the database as this process saw them.",
  });
  return {
    onDecision({ allowed, reason }, operation) {
      const outcome = allowed ? "admitted" : "denied";
      decisions.add(1, { operation, outcome, reason: reason ?? "" });
    },
    onOutage: () => outages.add(1),
  };
}
