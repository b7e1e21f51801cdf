import type { LogFunctionFactory } from "graphile-worker";
import type { Logger } from "../log.ts";

type Level = "error" | "warn" | "info" | "debug" | "trace";

/** The library's messages go down one level; job-metrics.ts logs the outcome of each job. */
const levels: Readonly<Record<string, Level>> = {
  error: "error",
  warning: "warn",
  info: "debug",
  debug: "trace",
};

/** Graphile Worker's log as pino lines, an error under the name that pino knows to serialize. */
export function workerLogFactory(log: Logger): LogFunctionFactory {
  return (scope) => (level, message, meta) => {
    const { error, ...rest } = meta ?? {};
    const fields = { ...scope, ...rest, ...(error !== undefined && { err: error }) };
    log[levels[level] ?? "debug"](fields, message.trim());
  };
}
