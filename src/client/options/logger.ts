import { hostname } from "node:os";

/** A logger in the manner of pino. Any object with these methods will do. */
export interface ClientLogger {
  debug(details: object | string, message?: string): void;
  info(details: object | string, message?: string): void;
  warn(details: object | string, message?: string): void;
}

const warnLevel = 40;

/** Warnings to standard error, a line of JSON each; the environment is not read. */
export function defaultLogger(): ClientLogger {
  return { debug: () => {}, info: () => {}, warn: writeWarning };
}

function writeWarning(details: object | string, message?: string): void {
  const isText = typeof details === "string";
  const { err, ...more } = (isText ? {} : details) as { readonly err?: unknown };
  const line = {
    level: warnLevel,
    time: Date.now(),
    pid: process.pid,
    hostname: hostname(),
    name: "storage-qos",
    ...more,
    ...(err instanceof Error ? { err: describe(err) } : {}),
    msg: isText ? details : message,
  };
  process.stderr.write(`${JSON.stringify(line)}\n`);
}

function describe(error: Error): object {
  const { name, message, stack } = error;
  const { code } = error as { code?: unknown };
  return { type: name, message, code, stack };
}
