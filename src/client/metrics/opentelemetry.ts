import type { LimiterHooks } from "../options/limiter-options.ts";

type Attributes = Readonly<Record<string, string>>;

interface Counter {
  add(value: number, attributes?: Attributes): void;
}

/** As much of a meter of @opentelemetry/api as is used. */
export interface MeterLike {
  createCounter(name: string, options?: { description?: string }): Counter;
}

/** As much of `trace` of @opentelemetry/api as is used. */
export interface TraceLike {
  getActiveSpan(): { addEvent(name: string, attributes: Attributes): unknown } | undefined;
}

/**
 * Hooks that count decisions and outages with a meter of OpenTelemetry; given its `trace` as well, they
 * add each decision to the span of the request that asked for it, as the event `qos.decision`.
 */
export function openTelemetryHooks(meter: MeterLike, trace?: TraceLike): LimiterHooks {
  const decisions = meter.createCounter("qos.client.decisions", {
    description: "Decisions by operation, outcome and reason.",
  });
  const outages = meter.createCounter("qos.client.outages", {
    description: "Outages of the database as this process saw them.",
  });
  return {
    onDecision({ allowed, reason }, operation) {
      const outcome = allowed ? "admitted" : "denied";
      const attributes = { operation, outcome, reason: reason ?? "" };
      decisions.add(1, attributes);
      trace?.getActiveSpan()?.addEvent("qos.decision", attributes);
    },
    onOutage: () => outages.add(1),
  };
}
