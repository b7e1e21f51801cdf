import type { LimiterHooks } from "../options/limiter-options.ts";

interface Counter {
  inc(labels: Readonly<Record<string, string>>): void;
}

/** As much of prom-client as is used. */
export interface PrometheusLike {
  readonly Counter: new (configuration: {
    name: string;
    help: string;
    labelNames: string[];
    registers?: never[];
  }) => Counter;
}

/** Hooks that count decisions and outages with prom-client, which the caller passes in. */
export function prometheusHooks(client: PrometheusLike, registry?: unknown): LimiterHooks {
  const registers = registry === undefined ? {} : { registers: [registry] as never[] };
  const decisions = new client.Counter({
    name: "qos_client_decisions_total",
    help: "Decisions by operation, outcome and reason.",
    labelNames: ["operation", "outcome", "reason"],
    ...registers,
  });
  const outages = new client.Counter({
    name: "qos_client_outages_total",
    help: "Outages of the database as this process saw them.",
    labelNames: [],
    ...registers,
  });
  return {
    onDecision({ allowed, reason }, operation) {
      const outcome = allowed ? "admitted" : "denied";
      decisions.inc({ operation, outcome, reason: reason ?? "" });
    },
    onOutage: () => outages.inc({}),
  };
}
