import { UserError } from "../user-error.ts";

/** A connection URL taken apart. `URL` cannot read several hosts or a socket. */
export interface UrlParts {
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** As written, such as `one:5432,[::1]:5433`; empty where a parameter names the host. */
  readonly hosts: string;
  readonly database: string;
  readonly parameters: URLSearchParams;
}

const pattern = /^postgres(?:ql)?:\/\/([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?$/i;

/** Undefined where the text is not a connection URL. */
export function urlParts(url: string): UrlParts | undefined {
  const [, authority, path = "", query = ""] = pattern.exec(url) ?? [];
  if (authority === undefined) return undefined;
  const at = authority.lastIndexOf("@");
  const [user, ...password] = at < 0 ? [] : authority.slice(0, at).split(":");
  try {
    return {
      user: user ? decodeURIComponent(user) : undefined,
      password: password.length === 0 ? undefined : decodeURIComponent(password.join(":")),
      hosts: authority.slice(at + 1),
      database: decodeURIComponent(path),
      // A plus sign is one: libpq does not read it as a space.
      parameters: new URLSearchParams(query.replaceAll("+", "%2B")),
    };
  } catch {
    return undefined;
  }
}

/** The same; throws an error that does not repeat the URL, which may contain a password. */
export function requireUrlParts(url: string): UrlParts {
  const parts = urlParts(url);
  if (parts !== undefined) return parts;
  throw new UserError(
    "database_url_invalid",
    "invalid connection URL",
    "It looks like postgres://login:password@host:5432/database.",
  );
}

export function urlOf({ user, password, hosts, database, parameters }: UrlParts): string {
  const secret = password ? `:${encodeURIComponent(password)}` : "";
  const login = user === undefined && !secret ? "" : `${encodeURIComponent(user ?? "")}${secret}@`;
  // libpq reads %20 but not +.
  const query = String(parameters).replaceAll("+", "%20");
  return `postgres://${login}${hosts}/${encodeURIComponent(database)}${query ? `?${query}` : ""}`;
}
