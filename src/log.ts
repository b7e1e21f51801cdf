import { trace } from "@opentelemetry/api";
import { type Logger, pino } from "pino";
import { loggingDeclaration } from "./settings/logging.ts";
import { readSettings } from "./settings/read-settings.ts";

export type { Logger };

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
    level: readSettings(process.env, loggingDeclaration).level,
    mixin: traceFields,
    redact: { paths: secretPaths.flatMap((path) => [path, `*.${path}`]), censor: "[secret]" },
  },
  destination,
);

/** So that the lines of a request or job are found by its trace. */
function traceFields(): object {
  const span = trace.getActiveSpan()?.spanContext();
  return span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId };
}

export function logFor(component: string): Logger {
  return log.child({ component });
}
