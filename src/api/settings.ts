import { UserError } from "../user-error.ts";
import { wholeNumber } from "../whole-number.ts";

/** What the environment says of the API, beside its database and address. */
export interface ApiSettings {
  readonly production: boolean;
  /** The IDE on the API's own page. */
  readonly ide: boolean;
  readonly introspection: boolean;
  readonly maxBodyBytes: number;
  readonly maxDepth: number;
  readonly maxCost: number;
  readonly maxPageSize: number;
  readonly maxExportRows: number;
  readonly statementTimeoutMs: number;
  readonly exportTimeoutMs: number;
  readonly drainMs: number;
  readonly poolSize: number;
  /** Subscriptions' connections at once, in all, of an address before it signs in, of a user. */
  readonly maxSockets: number;
  readonly maxSocketsOfAddress: number;
  readonly maxSocketsOfUser: number;
  /** Subscriptions at once. */
  readonly maxFollowedByUser: number;
  readonly maxFollowedByTenant: number;
  readonly socketSignInMs: number;
  /** Requests that are carried out at once; further ones wait for their turn. */
  readonly maxRequestsOfUser: number;
  readonly maxRequestsOfTenant: number;
  /** An export whose reader takes nothing for this long ends. */
  readonly exportStallMs: number;
  /** Proxies in front of the API whose X-Forwarded-For is believed. */
  readonly trustedProxies: number;
  readonly corsOrigins: readonly string[];
  readonly oidc: OidcSettings | undefined;
  /** Where the operations lie that are answered, and no others; undefined for any. */
  readonly persistedFolder: string | undefined;
}

/** Tokens of an identity provider that are accepted beside the API's own. */
export interface OidcSettings {
  readonly issuer: string;
  readonly audience: string;
  readonly jwksUrl: string;
  /** The name of the tenant whose users sign in this way. */
  readonly tenant: string | undefined;
  /** The claim that names the user's tenant, instead. */
  readonly tenantClaim: string | undefined;
}

export function apiSettings(env: NodeJS.ProcessEnv = process.env): ApiSettings {
  const production = env.NODE_ENV === "production";
  const whole = (name: string, usual: number, least = 1) => wholeNumber(env, name, usual, least);
  return {
    production,
    ide: onOrOff(env, "API_IDE", !production),
    introspection: onOrOff(env, "API_INTROSPECTION", !production),
    maxBodyBytes: whole("API_MAX_BODY_BYTES", 100_000),
    maxDepth: whole("API_MAX_DEPTH", 12),
    maxCost: whole("API_MAX_COST", 20_000),
    maxPageSize: whole("API_MAX_PAGE_SIZE", 500),
    maxExportRows: whole("API_MAX_EXPORT_ROWS", 1_000_000),
    statementTimeoutMs: whole("API_STATEMENT_TIMEOUT_MS", 10_000),
    exportTimeoutMs: whole("API_EXPORT_TIMEOUT_MS", 600_000),
    drainMs: whole("API_DRAIN_MS", 10_000, 0),
    poolSize: whole("API_POOL_SIZE", 10),
    maxSockets: whole("API_MAX_SOCKETS", 1_000),
    maxSocketsOfAddress: whole("API_MAX_SOCKETS_OF_ADDRESS", 20),
    maxSocketsOfUser: whole("API_MAX_SOCKETS_OF_USER", 10),
    maxFollowedByUser: whole("API_MAX_SUBSCRIPTIONS_OF_USER", 50),
    maxFollowedByTenant: whole("API_MAX_SUBSCRIPTIONS_OF_TENANT", 200),
    socketSignInMs: whole("API_SOCKET_SIGN_IN_MS", 10_000),
    maxRequestsOfUser: whole("API_MAX_REQUESTS_OF_USER", 2),
    maxRequestsOfTenant: whole("API_MAX_REQUESTS_OF_TENANT", 4),
    exportStallMs: whole("API_EXPORT_STALL_MS", 30_000),
    trustedProxies: whole("API_TRUSTED_PROXIES", 0, 0),
    corsOrigins: list(env.API_CORS_ORIGINS),
    oidc: oidcSettings(env),
    persistedFolder: env.API_PERSISTED_OPERATIONS || undefined,
  };
}

function oidcSettings(env: NodeJS.ProcessEnv): OidcSettings | undefined {
  const { OIDC_ISSUER: issuer, OIDC_AUDIENCE: audience, OIDC_JWKS_URL: jwksUrl } = env;
  const { OIDC_TENANT: tenant, OIDC_TENANT_CLAIM: tenantClaim } = env;
  const any = [issuer, audience, jwksUrl, tenant, tenantClaim].some(Boolean);
  if (!any) return undefined;
  if (tenant && tenantClaim) {
    throw new UserError(
      "oidc_tenant_twice",
      "OIDC_TENANT and OIDC_TENANT_CLAIM exclude each other",
      "Set the one for a provider of one tenant, the other for a provider that names it.",
    );
  }
  if (issuer && audience && jwksUrl && URL.canParse(jwksUrl)) {
    if (!tenant && !tenantClaim) throw tenantMissing();
    return {
      ...{ issuer, audience, jwksUrl },
      ...{ tenant: tenant || undefined, tenantClaim: tenantClaim || undefined },
    };
  }
  throw new UserError(
    "oidc_incomplete",
    "OIDC_ISSUER, OIDC_AUDIENCE and OIDC_JWKS_URL go together",
    "Set all three, or none to accept the API's own tokens alone.",
  );
}

function tenantMissing(): UserError {
  return new UserError(
    "oidc_tenant_missing",
    "neither OIDC_TENANT nor OIDC_TENANT_CLAIM is set",
    "Name the tenant of the provider's users, or the claim that names it: users of other tenants " +
      "may have the same address.",
  );
}

function onOrOff(env: NodeJS.ProcessEnv, name: string, usual: boolean): boolean {
  const text = env[name];
  if (!text) return usual;
  if (text === "on" || text === "off") return text === "on";
  throw new UserError("setting_invalid", `${name} is neither on nor off: ${text}`);
}

function list(text: string | undefined): string[] {
  return (text ?? "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
