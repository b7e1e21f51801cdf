import addressparser from "nodemailer/lib/addressparser";
import { PermanentFailure } from "./failure.ts";

/**
 * The recipients of an email of an alert, as the mailer reads them, each of an allowed domain: a
 * tenant must not send mail to strangers in the operator's name.
 */
export function allowedRecipients(
  recipients: readonly string[],
  domains: readonly string[],
): string[] {
  return recipients.map((text) => {
    const [parsed, ...others] = addressparser(text, { flatten: true });
    const address = parsed !== undefined && others.length === 0 ? parsed.address : "";
    // What the mailer would read differently is not the address that was checked.
    if (address !== text || !/^[!-?A-~]+@[!-?A-~]+$/.test(text)) {
      throw new PermanentFailure("a recipient is not a plain address");
    }
    if (domains.includes("*") || domains.includes(domainOf(address))) return address;
    throw new PermanentFailure(
      `${domainOf(address)} is not a domain that alerts are sent to; see ALERT_EMAIL_DOMAINS`,
    );
  });
}

export function domainOf(address: string): string {
  return address.slice(address.lastIndexOf("@") + 1).toLowerCase();
}
