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

/** Redacted in every logged object. */
const secretPaths = ["password", "apiKey", "api_key", "token", "authorization", "connectionString"];

const warnings = 40;
const standardError = pino.destination(2);
let file: ReturnType<typeof pino.destination> | undefined;

/** From now on the log goes into this file; warnings and errors also to standard error. */
export function logInto(path: string): void {
  file = pino.destination({ dest: path, append: true, mode: 0o600 });
}

const destination = {
  [Symbol.for("pino.metadata")]: true,
  lastLevel: 0,
  write(line: string): void {
    file?.write(line);
    if (file === undefined || this.lastLevel >= warnings) standardError.write(line);
  },
};

/** Logs go to standard error: standard output belongs to what a command answers. */
export const log: Logger = pino(
  {
    level: levelFrom(process.env),
    redact: { paths: secretPaths.flatMap((path) => [path, `*.${path}`]), censor: "[secret]" },
  },
  destination,
);

export function logFor(component: string): Logger {
  return log.child({ component });
}
