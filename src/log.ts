import { type Logger, pino } from "pino";

export type { Logger };

/** Never let a secret reach a log line, whoever passes the object. */
const secretPaths = ["password", "apiKey", "api_key", "token", "authorization", "connectionString"];

/** Logs go to standard error: standard output belongs to what a command answers. */
export const log: Logger = pino(
  {
    level: process.env.LOG_LEVEL ?? "info",
    redact: { paths: secretPaths.flatMap((path) => [path, `*.${path}`]), censor: "[secret]" },
  },
  pino.destination(2),
);

export function logFor(component: string): Logger {
  return log.child({ component });
}
