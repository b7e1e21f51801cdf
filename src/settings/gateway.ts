import { oneOf, onOrOff, port, secret, text, wholeNumber } from "./kinds.ts";

/** What the gateway takes from nginx's environment. A secret may come from the file of `…_FILE`. */
export const gatewayDeclaration = {
  databaseUrl: secret("QOS_DATABASE_URL", {
    says: "a connection URL, [one of several hosts](#several-hosts-of-the-database) too, or the file of `QOS_DATABASE_URL_FILE` has it; the variables below say what it leaves out",
  }),
  databaseHost: text("QOS_DATABASE_HOST", {
    says: "the database's host; a name needs a `resolver` in network.conf",
    usual: "127.0.0.1",
  }),
  databasePort: port("QOS_DATABASE_PORT", { says: "its port", usual: 5432, least: 1 }),
  databaseName: text("QOS_DATABASE_NAME", { says: "the database", usual: "storage_qos" }),
  databaseUser: text("QOS_DATABASE_USER", {
    says: "a login in `rate_limiter_app` and nothing else",
    usual: "gateway",
  }),
  databasePassword: secret("QOS_DATABASE_PASSWORD", {
    says: "its password, or the file of `QOS_DATABASE_PASSWORD_FILE` has it",
  }),
  databaseTls: onOrOff("QOS_DATABASE_TLS", {
    says: "`on`: TLS, or no connection",
    usual: false,
  }),
  databaseTlsVerify: onOrOff("QOS_DATABASE_TLS_VERIFY", {
    says: "the certificate has to be trusted and of the name below",
    usual: true,
  }),
  databaseTlsName: text("QOS_DATABASE_TLS_NAME", {
    says: "name in the certificate",
    usually: "`QOS_DATABASE_HOST`",
  }),
  poolSize: wholeNumber("QOS_DATABASE_POOL_SIZE", { says: "connections of each worker", usual: 4 }),
  timeoutMs: wholeNumber("QOS_DATABASE_TIMEOUT_MS", {
    says: "a call that takes longer is an outage",
    usual: 1_000,
  }),
  statementTimeoutMs: wholeNumber("QOS_DATABASE_STATEMENT_TIMEOUT_MS", {
    says: "the server gives up before; 0 sends none, and no isolation level, for poolers that take no such parameters ([scale.md](scale.md#3-connections))",
    usually: "0.8 of that",
    least: 0,
  }),
  keyHeader: text("QOS_KEY_HEADER", {
    says: "header with an API key, which the storage does not get; without it the access key id of an S3 signature",
    usual: "X-API-Key",
  }),
  identitiesFile: text("QOS_IDENTITIES_FILE", {
    says: "JSON: [S3 identities](#s3-identities) whose signatures the gateway verifies, anonymous buckets, temporary credentials",
  }),
  signatureFailures: wholeNumber("QOS_SIGNATURE_FAILURES", {
    says: "so many requests in a minute that the storage found unsigned, and their source is refused for that access key",
    usual: 10,
  }),
  signatureFailureBytes: wholeNumber("QOS_SIGNATURE_FAILURE_BYTES", {
    says: "so many bytes of such requests in a minute, with successes between them or not, have the same effect",
    usual: 16_777_216,
  }),
  signatureBlockMs: wholeNumber("QOS_SIGNATURE_BLOCK_MS", {
    says: "for so long; for each further time those bytes as long again, up to ten minutes",
    usual: 10_000,
  }),
  unprovenRequests: wholeNumber("QOS_UNPROVEN_REQUESTS", {
    says: "requests under way at most of a source whose signature with an access key the storage has not accepted in five minutes",
    usual: 64,
  }),
  formBytes: wholeNumber("QOS_FORM_BYTES", {
    says: "largest form (POST upload of S3) that is taken; 0 refuses forms, as the gateway keeps each one until it is read",
    usual: 0,
    least: 0,
  }),
  rateLimitFields: oneOf("QOS_RATE_LIMIT_FIELDS", ["always", "denied"], {
    says: "`denied`: the fields `RateLimit` and `RateLimit-Policy` on denials alone",
    usual: "always",
  }),
  speakS3: oneOf("QOS_SPEAK_S3", ["auto", "on", "off"], {
    says: "S3's XML instead of problem+json: `auto` for requests that are signed or dated as S3's, `on`, `off`",
    usual: "auto",
  }),
  unknownSizeBytes: wholeNumber("QOS_UNKNOWN_SIZE_BYTES", {
    says: "what an application's first download is taken for; from then on its recent answers tell",
    usual: 65_536,
    least: 0,
  }),
  unknownCopyBytes: wholeNumber("QOS_UNKNOWN_COPY_BYTES", {
    says: "what a copy inside the store is taken for whose size the storage does not say, as long as it has said none",
    usual: 1_048_576,
    least: 0,
  }),
  paceDownloads: onOrOff("QOS_PACE_DOWNLOADS", {
    says: "`off`: downloads are sent as fast as they can be, whatever the quota of bytes",
    usual: true,
  }),
  refund5xx: onOrOff("QOS_REFUND_5XX", {
    says: "`on`: an answer of 500 and above is not charged",
    usual: false,
  }),
  refreshMs: wholeNumber("QOS_REFRESH_MS", {
    says: "how old keys, costs and quotas may be in use",
    usual: 800,
  }),
  leaseMs: wholeNumber("QOS_LEASE_MS", { says: "life of a lease", usual: 10_000, least: 100 }),
  metricsApplications: wholeNumber("QOS_METRICS_APPLICATIONS", {
    says: "so many applications have metrics of their own, the first that come; all others are `other`. 0: none",
    usual: 0,
    least: 0,
  }),
  outagePolicy: oneOf("QOS_OUTAGE_POLICY", ["closed", "open", "fair_share"], {
    says: "`closed`, `open` or `fair_share`, as above",
    usual: "fair_share",
  }),
  outageMaxMs: wholeNumber("QOS_OUTAGE_MAX_MS", {
    says: "how long `open` and `fair_share` hold",
    usual: 300_000,
    least: 0,
  }),
};
