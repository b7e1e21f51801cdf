import type pg from "pg";
import type postgres from "postgres";
import type { Host, UrlTarget } from "./url-target.ts";

interface Log {
  warn(message: string): void;
}

/** For a client of `pg`, on one of the hosts. */
export function pgConfig(target: UrlTarget, host: Host = target.hosts[0]): pg.ClientConfig {
  return {
    host: host.host,
    port: host.port,
    ssl: target.tls === undefined ? false : { ...target.tls, ...serverName(host) },
    ...defined("user", target.user),
    ...defined("password", target.password),
    ...defined("database", target.database ?? target.user),
    ...defined("options", target.options),
    ...defined("application_name", target.applicationName),
    ...defined("connectionTimeoutMillis", target.connectTimeoutMs),
    ...(target.usesChannelBinding ? { enableChannelBinding: true } : {}),
  };
}

/** For a pool of `postgres`. */
export function postgresOptions(target: UrlTarget): postgres.Options<never> {
  const hosts = target.hosts.map(({ host }) => host);
  const ports = target.hosts.map(({ port }) => port);
  const [socket] = hosts.filter((host) => host.startsWith("/"));
  return {
    ...(socket === undefined
      ? { host: hosts, port: ports }
      : { path: `${socket}/.s.PGSQL.${ports[0]}`, host: socket, port: ports[0] as number }),
    ssl: target.tlsMode === "prefer" ? "prefer" : (target.tls ?? false),
    ...defined("user", target.user),
    ...defined("password", target.password),
    ...defined("database", target.database ?? target.user),
    ...defined("max", target.connectionLimit),
    ...(target.connectTimeoutMs === undefined
      ? {}
      : { connect_timeout: target.connectTimeoutMs / 1_000 }),
    ...(target.isPooled ? { prepare: false } : {}),
    ...attributesFor(target),
  } as postgres.Options<never>;
}

/** Says once which parameters have no effect. */
export function logIgnored(target: UrlTarget, driver: "pg" | "postgres", log: Log): void {
  const ignored = [...target.ignored];
  if (driver === "postgres" && target.usesChannelBinding) ignored.push("channel_binding");
  if (driver === "pg" && target.tlsMode === "allow") ignored.push("sslmode=allow (plain text)");
  for (const name of ignored) log.warn(`ignored in the connection URL: ${name}`);
}

function attributesFor(target: UrlTarget): object {
  const attributes = target.sessionAttributes;
  return attributes === undefined || attributes === "any"
    ? {}
    : { target_session_attrs: attributes };
}

function serverName({ host }: Host): { readonly servername?: string } {
  const isName = !host.startsWith("/") && !/^[\d.]+$|:/.test(host);
  return isName ? { servername: host } : {};
}

function defined<K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]: V });
}
