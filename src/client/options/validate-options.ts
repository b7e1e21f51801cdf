import { urlTarget } from "../../postgres/url-target.ts";
import { requireName } from "../config/application-config.ts";
import { InvalidRequestError } from "../errors.ts";

/** Throws where the value of an option is invalid; `path` names the option. */
export type Rule = (value: unknown, path: string) => void;
export type Rules = Readonly<Record<string, Rule>>;

/** Throws where an option is unknown or invalid. An option that is undefined counts as left out. */
export function validateOptions(options: unknown, rules: Rules, path = ""): void {
  if (typeof options !== "object" || options === null)
    throw invalid(path || "options", "an object");
  for (const [name, value] of Object.entries(options)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    const known = Object.keys(rules).join(", ");
    if (rule === undefined) throw unknownOption(`${path}${name}`, known);
    if (value !== undefined) rule(value, `${path}${name}`);
  }
}

export const wholeNumber =
  (least: number, most = Number.MAX_SAFE_INTEGER): Rule =>
  (value, path) => {
    const isWhole = Number.isSafeInteger(value);
    if (isWhole && (value as number) >= least && (value as number) <= most) return;
    throw invalid(path, `a whole number from ${least} to ${most}`);
  };

export const text: Rule = (value, path) => {
  if (typeof value !== "string" || value === "") throw invalid(path, "a text");
};

export const yesOrNo: Rule = (value, path) => {
  if (typeof value !== "boolean") throw invalid(path, "true or false");
};

export const oneOf =
  (...values: readonly string[]): Rule =>
  (value, path) => {
    if (!values.includes(value as string)) throw invalid(path, `one of ${values.join(", ")}`);
  };

export const callback: Rule = (value, path) => {
  if (typeof value !== "function") throw invalid(path, "a function");
};

export const logger: Rule = (value, path) => {
  const methods = Object(value) as Record<string, unknown>;
  const isLogger = ["debug", "info", "warn"].every((name) => typeof methods[name] === "function");
  if (!isLogger) throw invalid(path, "a logger with debug(), info() and warn()");
};

export const group =
  (rules: Rules): Rule =>
  (value, path) =>
    validateOptions(value, rules, `${path}.`);

export const applicationId: Rule = (value) => void requireName({ application: value as string });

export function requireConnection(connection: unknown): void {
  const isUrl = typeof connection === "string";
  if (isUrl) requireUrl(connection);
  const isPostgres = typeof connection === "function";
  const { query } = Object(connection) as { query?: unknown };
  if (isUrl || isPostgres || typeof query === "function") return;
  throw invalid("connection", "a connection URL, or a pool of postgres or pg");
}

function requireUrl(url: string): void {
  try {
    urlTarget(url);
  } catch (error) {
    const { message, hint } = error as { message: string; hint?: string };
    throw new InvalidRequestError("QS422", "invalid option: connection", {
      detail: message,
      hint,
    });
  }
}

function invalid(path: string, wanted: string): InvalidRequestError {
  return new InvalidRequestError("QS422", `invalid option: ${path}`, { hint: `Give ${wanted}.` });
}

function unknownOption(path: string, known: string): InvalidRequestError {
  return new InvalidRequestError("QS422", `unknown option: ${path}`, { hint: `Known: ${known}.` });
}
