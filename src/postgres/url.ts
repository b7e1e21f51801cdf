import { UserError } from "../user-error.ts";
import { sessionSettings } from "./session-settings.ts";
import { requireUrlParts, urlOf, urlParts } from "./url-parts.ts";

/** The URL that a variable holds, if any. An error does not repeat it: it may hold a password. */
export function urlFrom(env: NodeJS.ProcessEnv, variable: string): string | undefined {
  const url = env[variable];
  if (!url) return undefined;
  if (urlParts(url) !== undefined) return url;
  throw new UserError(
    "database_url_invalid",
    `${variable} is not a connection URL`,
    "It looks like postgres://login:password@host:5432/database.",
  );
}

/** A copy of the connection URL for another database. */
export function withDatabase(url: string, database: string): string {
  return urlOf({ ...requireUrlParts(url), database });
}

/** A copy of the connection URL for another login. */
export function withLogin(url: string, login: string, password: string): string {
  return urlOf({ ...requireUrlParts(url), user: login, password });
}

/** A copy of the connection URL whose sessions start as the role. */
export function withRole(url: string, role: string): string {
  return withSetting(url, "role", role);
}

/** A copy of the connection URL whose sessions are set as sessions of the product are. */
export function withSessionSettings(url: string): string {
  const settings = Object.entries(sessionSettings);
  return settings.reduce((changed, [name, value]) => withSetting(changed, name, value), url);
}

function withSetting(url: string, name: string, value: string): string {
  const others = requireUrlParts(url).parameters.get("options") ?? "";
  return withParameter(url, "options", withOption(others, name, value));
}

/** Text of libpq's `options` with one more setting. */
export function withOption(options: string, name: string, value: string): string {
  return `${options} -c ${name}=${value.replaceAll(/[\\ ]/g, "\\$&")}`.trim();
}

/** A copy of the connection URL with one parameter set. */
export function withParameter(url: string, name: string, value: string): string {
  const parts = requireUrlParts(url);
  parts.parameters.set(name, value);
  return urlOf(parts);
}

export function databaseOf(url: string): string {
  const { database, parameters } = requireUrlParts(url);
  return database || (parameters.get("dbname") ?? "");
}

/** The URL as it may be shown: without its password. */
export function withoutPassword(url: string): string {
  const parts = requireUrlParts(url);
  parts.parameters.delete("password");
  return urlOf({ ...parts, password: undefined });
}

/** The URL as far as it says where the database is: no login, no secret, no settings. */
export function addressOf(url: string): string {
  const { hosts, database, parameters } = requireUrlParts(url);
  const places = ["host", "hostaddr", "port", "dbname"];
  const kept = [...parameters].filter(([name]) => places.includes(name));
  const where = new URLSearchParams(kept);
  return urlOf({ hosts, database, parameters: where, user: undefined, password: undefined });
}
