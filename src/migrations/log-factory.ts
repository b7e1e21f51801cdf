import type { Logger } from "../log.ts";

const levels: Readonly<Record<string, "error" | "warn" | "debug" | "trace">> = {
  error: "error",
  warning: "warn",
  info: "debug",
  debug: "trace",
};

/**
 * Graphile's libraries each bring their own Logger class; all take such a function. What they say
 * of an error goes no further than its message: the error itself is thrown as well.
 */
export function pinoLogFactory(log: Logger) {
  return (scope: object) =>
    (level: string, message: string): void =>
      log[levels[level] ?? "debug"](scope, message.trim());
}
