import { type Logger, pino } from "pino";
import { UserError } from "./user-error.ts";

export type { Logger };

const usualLevel = "info";
const levels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];

function levelFrom({ LOG_LEVEL: level }: NodeJS.ProcessEnv): string {
  if (!level) return usualLevel;
  if (levels.includes(level)) return level;
  throw new UserError("log_level_invalid", `LOG_LEVEL is none of ${levels.join(", ")}: ${level}`);
}

/** Never let a secret reach a log line, whoever passes the object. */
const secretPaths = ["password", "apiKey", "api_key", "token", "authorization", "connectionString"];

/** Logs go to standard error: standard output belongs to what a command answers. */
export const log: Logger = pino(
  {
    level: levelFrom(process.env),
    redact: { paths: secretPaths.flatMap((path) => [path, `*.${path}`]), censor: "[secret]" },
  },
  pino.destination(2),
);

export function logFor(component: string): Logger {
  return log.child({ component });
}
