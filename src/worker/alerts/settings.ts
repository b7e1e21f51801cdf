import { readSettings } from "../../settings/read-settings.ts";
import { alertDeclaration } from "../../settings/worker.ts";
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
  const settings = readSettings(env, alertDeclaration);
  const { emailFrom, emailDomains = [senderDomain(emailFrom)] } = settings;
  return { ...settings, emailDomains: emailDomains.map((domain) => domain.toLowerCase()) };
}

/** Of `Alerts <alerts@example.org>` as of the plain address. */
function senderDomain(from: string): string {
  return domainOf(from.replace(/>\s*$/, ""));
}
