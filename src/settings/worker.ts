import { list, port, secret, text, wholeNumber } from "./kinds.ts";

/** What a worker takes from its environment, beside its archive. */
export const workerDeclaration = {
  databaseUrl: secret("WORKER_DATABASE_URL", {
    says: "the database, as a login in `rate_limiter_worker`",
    usually: "`DATABASE_URL`",
  }),
  host: text("WORKER_HOST", { says: "address of metrics and health", usual: "127.0.0.1" }),
  port: port("WORKER_PORT", { says: "its port; 0 takes a free one", usual: 5679 }),
  concurrency: wholeNumber("WORKER_CONCURRENCY", {
    says: "jobs at once; one slot of them is kept free of deliveries",
    usual: 4,
  }),
};

export const alertDeclaration = {
  smtpUrl: secret("SMTP_URL", {
    says: "`smtp://user:password@host:port`, for alerts by email",
  }),
  emailFrom: text("ALERT_EMAIL_FROM", { says: "their sender", usual: "storage-qos@localhost" }),
  emailDomains: list("ALERT_EMAIL_DOMAINS", {
    says: "domains that their recipients may be of, by commas; `*` for any: then tenants send mail to strangers in your name",
    usually: "the domain of `ALERT_EMAIL_FROM`",
  }),
  allowedNetworks: list("ALERT_ALLOWED_NETWORKS", {
    says: "private networks that webhooks may go to: `10.1.0.0/16, fd00::/8`",
    usual: [],
  }),
  timeoutMs: wholeNumber("ALERT_TIMEOUT_MS", {
    says: "how long a receiver may take",
    usual: 10_000,
  }),
};

export const invitationDeclaration = {
  consoleUrl: text("CONSOLE_URL", {
    says: "where people open the console, such as `https://qos.example.org`: invitations by email lead there, and none is sent without it or `SMTP_URL`",
  }),
};

export const healthDeclaration = {
  allowedNetworks: list("HEALTH_ALLOWED_NETWORKS", {
    says: "private networks that probes of clusters may go to, besides those of `ALERT_ALLOWED_NETWORKS`",
    usual: [],
  }),
  timeoutMs: wholeNumber("HEALTH_TIMEOUT_MS", {
    says: "how long a cluster may take to answer a probe",
    usual: 5_000,
  }),
};
