import { list, onOrOff, port, secret, text, wholeNumber } from "./kinds.ts";

/** What the admin API takes from its environment. */
export const apiDeclaration = {
  databaseUrl: secret("API_DATABASE_URL", {
    says: "the database, as a login in `rate_limiter_authenticator`",
    usually: "`DATABASE_URL`",
  }),
  nodeEnv: text("NODE_ENV", {
    says: "`production`: errors masked, IDE and introspection off, a secret required",
  }),
  secret: secret("JWT_SECRET", {
    says: "signs access tokens, at least 32 bytes",
    usually: "kept in the data folder by `npm start`",
  }),
  secrets: secret("JWT_SECRETS", {
    says: "several, by commas: the first signs, all verify, so that one can be replaced",
  }),
  host: text("API_HOST", { says: "address that callers reach", usual: "127.0.0.1" }),
  port: port("API_PORT", { says: "its port; 0 takes a free one", usual: 5678 }),
  metricsHost: text("API_METRICS_HOST", {
    says: "address of `/metrics`, `/healthz` and `/readyz` for Prometheus, apart from callers: no password is asked",
    usual: "127.0.0.1",
  }),
  metricsPort: port("API_METRICS_PORT", { says: "its port; without one nothing listens there" }),
  ide: onOrOff("API_IDE", {
    says: "an IDE for queries at `/graphiql`",
    usually: "off in production",
  }),
  console: onOrOff("API_CONSOLE", {
    says: "the console at `/`",
    usually: "on",
  }),
  introspection: onOrOff("API_INTROSPECTION", {
    says: "the schema is told to those who ask",
    usually: "off in production",
  }),
  persistedFolder: text("API_PERSISTED_OPERATIONS", {
    says: "folder of the only operations to answer",
    usually: "none: any",
  }),
  corsOrigins: list("API_CORS_ORIGINS", {
    says: "origins whose pages may call, by commas",
    usual: [],
  }),
  trustedProxies: wholeNumber("API_TRUSTED_PROXIES", {
    ...{ says: "proxies in front whose `X-Forwarded-For` is believed", usual: 0, least: 0 },
  }),
  maxBodyBytes: wholeNumber("API_MAX_BODY_BYTES", {
    says: "largest body of a request",
    usual: 100_000,
  }),
  maxBulkBytes: wholeNumber("API_MAX_BULK_BYTES", {
    says: "the same of a signed-in user, whose batches are that large",
    usual: 4_000_000,
  }),
  maxDepth: wholeNumber("API_MAX_DEPTH", { says: "deepest nesting of a query", usual: 12 }),
  maxCost: wholeNumber("API_MAX_COST", {
    says: "values a query may ask for (a field at its top counts as 500, as do a filter, an order and a total there)",
    usual: 20_000,
  }),
  maxPageSize: wholeNumber("API_MAX_PAGE_SIZE", { says: "rows of a page", usual: 500 }),
  maxExportRows: wholeNumber("API_MAX_EXPORT_ROWS", {
    says: "rows of an export",
    usual: 1_000_000,
  }),
  exportTimeoutMs: wholeNumber("API_EXPORT_TIMEOUT_MS", {
    says: "longest export; its time goes on while the client does not read",
    usual: 600_000,
  }),
  exportStallMs: wholeNumber("API_EXPORT_STALL_MS", {
    says: "an export whose reader takes nothing for so long ends",
    usual: 30_000,
  }),
  maxRequestsOfUser: wholeNumber("API_MAX_REQUESTS_OF_USER", {
    says: "requests of a user that run at once; further ones wait for their turn",
    usual: 2,
  }),
  maxRequestsOfTenant: wholeNumber("API_MAX_REQUESTS_OF_TENANT", {
    says: "the same of a tenant",
    usual: 4,
  }),
  statementTimeoutMs: wholeNumber("API_STATEMENT_TIMEOUT_MS", {
    says: "longest statement, and longest request that is one transaction",
    usual: 10_000,
  }),
  poolSize: wholeNumber("API_POOL_SIZE", {
    says: "connections to the database for GraphQL",
    usual: 10,
  }),
  maxSockets: wholeNumber("API_MAX_SOCKETS", {
    says: "connections of subscriptions, in all",
    usual: 1_000,
  }),
  maxSocketsOfAddress: wholeNumber("API_MAX_SOCKETS_OF_ADDRESS", {
    says: "those of an address that follow nothing yet",
    usual: 20,
  }),
  socketSignInMs: wholeNumber("API_SOCKET_SIGN_IN_MS", {
    says: "how long they may follow nothing",
    usual: 10_000,
  }),
  maxSocketsOfUser: wholeNumber("API_MAX_SOCKETS_OF_USER", {
    says: "those of a user",
    usual: 10,
  }),
  maxFollowedByUser: wholeNumber("API_MAX_SUBSCRIPTIONS_OF_USER", {
    says: "what a user follows at once",
    usual: 50,
  }),
  maxFollowedByTenant: wholeNumber("API_MAX_SUBSCRIPTIONS_OF_TENANT", {
    says: "what the users of a tenant follow at once",
    usual: 200,
  }),
  drainMs: wholeNumber("API_DRAIN_MS", {
    ...{ says: "how long answers that are due may take at a stop", usual: 10_000, least: 0 },
  }),
};

/** Tokens of an identity provider that are accepted beside the API's own. */
export const oidcDeclaration = {
  issuer: text("OIDC_ISSUER", {
    says: "issuer of the tokens of an identity provider; the three go together",
  }),
  audience: text("OIDC_AUDIENCE", { says: "their audience" }),
  jwksUrl: text("OIDC_JWKS_URL", { says: "where the provider's keys are" }),
  tenant: text("OIDC_TENANT", {
    says: "name of the tenant whose users alone the provider signs in",
    usually: "one of the two, with `OIDC_ISSUER`",
  }),
  tenantClaim: text("OIDC_TENANT_CLAIM", {
    says: "claim of its tokens that has that name, instead: a token without it opens nothing",
  }),
  groupsClaim: text("OIDC_GROUPS_CLAIM", {
    says: "claim of its tokens that lists the user's groups, such as `groups`: roles follow them (`mapGroup`)",
  }),
};
