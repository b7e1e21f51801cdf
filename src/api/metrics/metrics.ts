import type pg from "pg";
import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** What the API tells Prometheus. Labels come from fixed sets: callers cannot make new ones. */
export interface ApiMetrics {
  readonly register: Registry;
  /** An answer that is through, or that its client did not wait for. */
  answered(path: string, status: number, seconds: number): void;
  /** An error that a caller was told, by its code. */
  refused(code: unknown): void;
  /** Values that are read at each scrape. */
  watch(parts: WatchedParts): void;
}

export interface WatchedParts {
  readonly pool: Pick<pg.Pool, "totalCount" | "idleCount" | "waitingCount">;
  readonly turns: { readonly running: number; readonly waiting: number };
  readonly exports: { readonly taken: number };
  readonly sockets: { readonly open: number; readonly followed: number };
  canWrite(): boolean;
}

const prefix = "storage_qos_api_";
const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export function apiMetrics(): ApiMetrics {
  const register = new Registry();
  const registers = [register];
  const requests = new Counter({
    ...{ name: `${prefix}requests_total`, registers, labelNames: ["route", "status"] as const },
    help: "Answers by route and HTTP status; 499 where the client did not wait for the answer.",
  });
  const duration = new Histogram({
    ...{ name: `${prefix}request_duration_seconds`, registers, buckets },
    labelNames: ["route"] as const,
    help: "How long answers took, waiting for a turn included.",
  });
  const errors = new Counter({
    ...{ name: `${prefix}errors_total`, registers, labelNames: ["code"] as const },
    help: "Errors that callers were told, by code.",
  });
  return {
    register,
    answered(path, status, seconds) {
      const route = routeOf(path);
      requests.inc({ route, status });
      duration.observe({ route }, seconds);
    },
    refused(code) {
      errors.inc({ code: /^QS\d{3}$/.test(String(code)) ? String(code) : "other" });
    },
    watch: (parts) => addGauges(registers, parts),
  };
}

function routeOf(path: string): string {
  if (path === "/graphql") return "graphql";
  if (path.startsWith("/export/")) return "export";
  return path === "/healthz" || path === "/readyz" ? "health" : "other";
}

function addGauges(registers: Registry[], parts: WatchedParts): void {
  const { pool, turns, exports, sockets } = parts;
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      ...{ name: prefix + name, help, registers },
      collect() {
        this.set(read());
      },
    });
  gauge("database_writable", "Whether the database takes writes.", () => Number(parts.canWrite()));
  gauge("requests_running", "GraphQL requests that run now.", () => turns.running);
  gauge("requests_waiting", "GraphQL requests that wait for a turn.", () => turns.waiting);
  gauge("exports_running", "Exports that are read now.", () => exports.taken);
  gauge("sockets_open", "Sockets of subscriptions.", () => sockets.open);
  gauge("subscriptions", "What is followed over these sockets.", () => sockets.followed);
  new Gauge({
    ...{ name: `${prefix}pool_connections`, registers, labelNames: ["state"] as const },
    help: "GraphQL's connections to the database, and who waits for one.",
    collect() {
      this.set({ state: "busy" }, pool.totalCount - pool.idleCount);
      this.set({ state: "idle" }, pool.idleCount);
      this.set({ state: "awaited" }, pool.waitingCount);
    },
  });
}
