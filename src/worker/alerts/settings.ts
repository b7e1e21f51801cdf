import { wholeNumber } from "../../whole-number.ts";
import { domainOf } from "./recipients.ts";

/** What the delivery of notifications takes from the worker's environment. */
export interface AlertSettings {
  /** smtp://user:password@host:port; without it no email is sent. */
  readonly smtpUrl: string | undefined;
  readonly emailFrom: string;
  /** Domains of the recipients of emails; a star for any. */
  readonly emailDomains: readonly string[];
  /** Networks that notifications may go to though they are private, such as 10.1.0.0/16. */
  readonly allowedNetworks: readonly string[];
  readonly timeoutMs: number;
}

export function alertSettings(env: NodeJS.ProcessEnv): AlertSettings {
  const emailFrom = env.ALERT_EMAIL_FROM || "storage-qos@localhost";
  return {
    smtpUrl: env.SMTP_URL || undefined,
    emailFrom,
    emailDomains: networkList(env.ALERT_EMAIL_DOMAINS || senderDomain(emailFrom)).map((domain) =>
      domain.toLowerCase(),
    ),
    allowedNetworks: networkList(env.ALERT_ALLOWED_NETWORKS),
    timeoutMs: wholeNumber(env, "ALERT_TIMEOUT_MS", 10_000, 1),
  };
}

/** Of `Alerts <alerts@example.org>` as of the plain address. */
function senderDomain(from: string): string {
  return domainOf(from.replace(/>\s*$/, ""));
}

export function networkList(value = ""): readonly string[] {
  return value.split(/[\s,]+/).filter(Boolean);
}
