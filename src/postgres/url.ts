import { UserError } from "../user-error.ts";

/** The URL that a variable holds, if any. An error does not repeat it: it may hold a password. */
export function urlFrom(env: NodeJS.ProcessEnv, variable: string): string | undefined {
  const url = env[variable];
  if (!url) return undefined;
  if (URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol)) return url;
  throw new UserError(
    "database_url_invalid",
    `${variable} is not a connection URL`,
    "It looks like postgres://login:password@host:5432/database.",
  );
}

/** A copy of the connection URL for another database. */
export function withDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${encodeURIComponent(database)}`;
  return changed.href;
}

/** A copy of the connection URL for another login. */
export function withLogin(url: string, login: string, password: string): string {
  const changed = new URL(url);
  changed.username = encodeURIComponent(login);
  changed.password = encodeURIComponent(password);
  return changed.href;
}

/** A copy of the connection URL whose sessions start as the role. */
export function withRole(url: string, role: string): string {
  const others = new URL(url).searchParams.get("options") ?? "";
  return withParameter(url, "options", `${others} -c role=${role}`.trim());
}

/** A copy of the connection URL with one parameter set. */
export function withParameter(url: string, name: string, value: string): string {
  const changed = new URL(url);
  changed.searchParams.set(name, value);
  // libpq reads %20 but not +.
  changed.search = changed.search.replaceAll("+", "%20");
  return changed.href;
}

export function databaseOf(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}

/** The URL as it may be shown: without its password. */
export function withoutPassword(url: string): string {
  const changed = new URL(url);
  changed.password = "";
  return changed.href;
}
