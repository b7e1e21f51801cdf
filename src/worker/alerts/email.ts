import { createTransport } from "nodemailer";
import { logFor } from "../../log.ts";
import { PermanentFailure } from "./failure.ts";
import { headline, type Notification } from "./notification.ts";
import type { EmailChannel } from "./notification-config.ts";
import { allowedRecipients } from "./recipients.ts";
import type { AlertSettings } from "./settings.ts";

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
  const transport = createTransport({
    url: smtpUrl,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    // What a tenant writes names no file and no address to fetch.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return async (channel, notification, signal) => {
    const mail = {
      from: emailFrom,
      to: allowedRecipients(channel.to, emailDomains),
      subject: oneLine(headline(notification)),
      text: text(notification),
      messageId: `<${notification.id}@storage-qos>`,
      ...(signal && { signal }),
    };
    const { rejected } = await transport.sendMail(mail).catch((error: SmtpError) => {
      throw isForGood(error) ? new PermanentFailure(error.message) : error;
    });
    if (rejected.length === 0) return;
    // A retry would send it twice to the others.
    log.warn(
      { notification: notification.id, refused: rejected.length },
      "the server refused some recipients of a notification",
    );
  };
}

/** Names may have characters that end a header, or turn the direction of the text. */
function oneLine(value: string): string {
  return value.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, " ").trim();
}

interface SmtpError extends Error {
  readonly code?: string;
  readonly responseCode?: number;
}

/** The server refuses all recipients permanently (RFC 5321, 4.2.1). */
function isForGood({ code, responseCode = 0 }: SmtpError): boolean {
  return code === "EENVELOPE" && responseCode >= 500;
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
