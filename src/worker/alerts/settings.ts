import { wholeNumber } from "../../whole-number.ts";

/** What the delivery of notices takes from the worker's environment. */
export interface AlertSettings {
  /** smtp://user:password@host:port; without it no email is sent. */
  readonly smtpUrl: string | undefined;
  readonly emailFrom: string;
  /** Networks that notices may go to though they are private, such as 10.1.0.0/16. */
  readonly allowedNetworks: readonly string[];
  readonly timeoutMilliseconds: number;
}

export function alertSettings(env: NodeJS.ProcessEnv): AlertSettings {
  return {
    smtpUrl: env.SMTP_URL || undefined,
    emailFrom: env.ALERT_EMAIL_FROM || "storage-qos@localhost",
    allowedNetworks: (env.ALERT_ALLOWED_NETWORKS ?? "").split(/[\s,]+/).filter(Boolean),
    timeoutMilliseconds: wholeNumber(env, "ALERT_TIMEOUT_MS", 10_000, 1),
  };
}
