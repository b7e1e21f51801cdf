import { createTransport } from "nodemailer";
import { headline, type Notice } from "./notice.ts";
import type { EmailChannel } from "./notification-config.ts";
import type { AlertSettings } from "./settings.ts";

export type SendEmail = (channel: EmailChannel, notice: Notice) => Promise<void>;

export function makeSendEmail(settings: AlertSettings): SendEmail {
  const { smtpUrl, emailFrom, timeoutMilliseconds } = settings;
  if (smtpUrl === undefined) {
    return async () => {
      throw new Error("SMTP_URL is not set: no email can be sent");
    };
  }
  const transport = createTransport({
    url: smtpUrl,
    connectionTimeout: timeoutMilliseconds,
    greetingTimeout: timeoutMilliseconds,
    socketTimeout: timeoutMilliseconds,
    // What a tenant writes names no file and no address to fetch.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return async (channel, notice) => {
    await transport.sendMail({
      from: emailFrom,
      to: [...channel.to],
      subject: headline(notice).replace(/\s+/g, " "),
      text: text(notice),
      messageId: `<${notice.id}@storage-qos>`,
    });
  };
}

function text(notice: Notice): string {
  const { alert, application, description, triggered_at, resolved_at } = notice.content;
  return [
    headline(notice),
    "",
    ...(description ? [description, ""] : []),
    `Application: ${application.name} (${application.id})`,
    `Alert:       ${alert.id}`,
    `Triggered:   ${triggered_at}`,
    ...(resolved_at ? [`Resolved:    ${resolved_at}`] : []),
    "",
  ].join("\n");
}
