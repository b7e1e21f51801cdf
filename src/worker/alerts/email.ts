import { logFor } from "../../log.ts";
import { headline, type Notification } from "./notification.ts";
import type { EmailChannel } from "./notification-config.ts";
import { allowedRecipients } from "./recipients.ts";
import type { AlertSettings } from "./settings.ts";
import { failureOf, makeTransport, oneLine } from "./smtp.ts";

const log = logFor("alerts");

export type SendEmail = (
  channel: EmailChannel,
  notification: Notification,
  signal?: AbortSignal,
) => Promise<void>;

export function makeSendEmail(settings: AlertSettings): SendEmail {
  const { smtpUrl, emailFrom, emailDomains, timeoutMs } = settings;
  if (smtpUrl === undefined) {
    return async () => {
      throw new Error("SMTP_URL is not set: no email can be sent");
    };
  }
  const transport = makeTransport({ smtpUrl, timeoutMs });
  return async (channel, notification, signal) => {
    const mail = {
      from: emailFrom,
      to: allowedRecipients(channel.to, emailDomains),
      subject: oneLine(headline(notification)),
      text: text(notification),
      messageId: `<${notification.id}@storage-qos>`,
      ...(signal && { signal }),
    };
    const { rejected } = await transport.sendMail(mail).catch((error: Error) => {
      throw failureOf(error);
    });
    if (rejected.length === 0) return;
    // A retry would send it twice to the others.
    log.warn(
      { notification: notification.id, refused: rejected.length },
      "the server refused some recipients of a notification",
    );
  };
}

function text(notification: Notification): string {
  const { alert, application, description, triggered_at, resolved_at } = notification.content;
  return [
    oneLine(headline(notification)),
    "",
    ...(description ? [oneLine(description), ""] : []),
    `Application: ${oneLine(application.name)} (${application.id})`,
    `Alert:       ${alert.id}`,
    `Triggered:   ${triggered_at}`,
    ...(resolved_at ? [`Resolved:    ${resolved_at}`] : []),
    "",
  ].join("\n");
}
