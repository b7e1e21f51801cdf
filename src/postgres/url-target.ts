import { readFileSync } from "node:fs";
import type { ConnectionOptions } from "node:tls";
import { UserError } from "../user-error.ts";
import { requireUrlParts, type UrlParts } from "./url-parts.ts";

export interface Host {
  /** A name, an address, or the folder of a socket. */
  readonly host: string;
  readonly port: number;
}

const tlsModes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
export type TlsMode = (typeof tlsModes)[number];

const sessionAttributes = [
  "any",
  "read-write",
  "read-only",
  "primary",
  "standby",
  "prefer-standby",
] as const;
export type SessionAttributes = (typeof sessionAttributes)[number];

/** What a connection URL says, for both drivers alike. */
export interface UrlTarget {
  readonly hosts: readonly [Host, ...Host[]];
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: string | undefined;
  readonly tlsMode: TlsMode;
  /** Options of node:tls for the mode; undefined for plain text. */
  readonly tls: ConnectionOptions | undefined;
  readonly usesChannelBinding: boolean;
  /** Text of libpq's `options`, such as `-c role=reader`. */
  readonly options: string | undefined;
  readonly applicationName: string | undefined;
  readonly connectTimeoutMs: number | undefined;
  readonly connectionLimit: number | undefined;
  readonly sessionAttributes: SessionAttributes | undefined;
  /** `pgbouncer=true`: statements must not be prepared. */
  readonly isPooled: boolean;
  /** Parameters that have no effect here, with the reason. */
  readonly ignored: readonly string[];
}

const used = new Set([
  "host",
  "hostaddr",
  "port",
  "user",
  "password",
  "dbname",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "channel_binding",
  "options",
  "application_name",
  "connect_timeout",
  "connection_limit",
  "pgbouncer",
  "target_session_attrs",
]);

/** Parses a connection URL. Parameters that are unknown are never sent to the server. */
export function urlTarget(url: string): UrlTarget {
  const parts = requireUrlParts(url);
  const text = (name: string) => parts.parameters.get(name) || undefined;
  const tlsMode = oneOf("sslmode", text("sslmode"), tlsModes) ?? defaultTlsMode(text);
  return {
    hosts: hostsOf(parts),
    user: parts.user ?? text("user"),
    password: parts.password ?? text("password"),
    database: (parts.database || text("dbname")) ?? undefined,
    tlsMode,
    tls: tlsOf(tlsMode, text),
    usesChannelBinding:
      text("channel_binding") !== undefined && text("channel_binding") !== "disable",
    options: text("options"),
    applicationName: text("application_name"),
    connectTimeoutMs: secondsOf("connect_timeout", text("connect_timeout")),
    connectionLimit: wholeOf("connection_limit", text("connection_limit")),
    sessionAttributes: oneOf(
      "target_session_attrs",
      text("target_session_attrs"),
      sessionAttributes,
    ),
    isPooled: text("pgbouncer") === "true",
    ignored: [...new Set(parts.parameters.keys())].filter((name) => !used.has(name)),
  };
}

function hostsOf({ hosts, parameters }: UrlParts): readonly [Host, ...Host[]] {
  const named = parameters.get("hostaddr") || parameters.get("host");
  const ports = (parameters.get("port") ?? "").split(",");
  const texts = (named ?? hosts).split(",");
  const [first, ...rest] = texts.map((text, index): Host => {
    const { host, port } = named == null ? writtenHost(text) : { host: text, port: undefined };
    const number = Number(port ?? (ports[index] || ports[0] || 5432));
    if (!Number.isInteger(number) || number < 1 || number > 65_535) throw invalid("port");
    return { host: host || "localhost", port: number };
  });
  if (first === undefined) throw invalid("host");
  return [first, ...rest];
}

/** `host`, `host:port`, `[address]:port`, or a socket's folder as `%2Frun`. */
function writtenHost(text: string): { readonly host: string; readonly port: string | undefined } {
  const found = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d+))?$/.exec(text);
  if (found === null) throw invalid("host");
  return { host: decodeURIComponent(found[1] ?? found[2] ?? ""), port: found[3] };
}

function defaultTlsMode(text: (name: string) => string | undefined): TlsMode {
  return text("sslrootcert") === undefined ? "disable" : "verify-full";
}

/** As libpq does: `require` verifies the certificate only where sslrootcert is given. */
function tlsOf(
  mode: TlsMode,
  text: (name: string) => string | undefined,
): ConnectionOptions | undefined {
  if (mode === "disable" || mode === "allow") return undefined;
  const rootCert = text("sslrootcert");
  const [cert, key] = [text("sslcert"), text("sslkey")];
  const verifies = mode.startsWith("verify") || (mode === "require" && rootCert !== undefined);
  return {
    rejectUnauthorized: verifies,
    ...(rootCert === undefined || rootCert === "system"
      ? {}
      : { ca: fileOf("sslrootcert", rootCert) }),
    ...(cert === undefined ? {} : { cert: fileOf("sslcert", cert) }),
    ...(key === undefined ? {} : { key: fileOf("sslkey", key) }),
    // Only verify-full compares the name in the certificate.
    ...(verifies && mode !== "verify-full" ? { checkServerIdentity: () => undefined } : {}),
  };
}

function fileOf(parameter: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw invalid(parameter, `cannot read ${path}`, { cause: error });
  }
}

function oneOf<T extends string>(
  name: string,
  value: string | undefined,
  known: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  if (known.includes(value as T)) return value as T;
  throw invalid(name, `one of ${known.join(", ")}`);
}

function wholeOf(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (Number.isSafeInteger(number) && number > 0) return number;
  throw invalid(name, "a whole number above 0");
}

function secondsOf(name: string, value: string | undefined): number | undefined {
  if (value === undefined || value === "0") return undefined;
  return (wholeOf(name, value) ?? 0) * 1_000;
}

function invalid(parameter: string, hint?: string, options?: ErrorOptions): UserError {
  return new UserError(
    "database_url_invalid",
    `invalid ${parameter} in the connection URL`,
    hint,
    options,
  );
}
