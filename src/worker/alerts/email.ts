import { createTransport } from "nodemailer";
import { logFor } from "../../log.ts";
import { PermanentFailure } from "./failure.ts";
import { headline, type Notice } from "./notice.ts";
import type { EmailChannel } from "./notification-config.ts";
import type { AlertSettings } from "./settings.ts";

const log = logFor("alerts");

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
    const mail = {
      from: emailFrom,
      to: [...channel.to],
      subject: headline(notice).replace(/\s+/g, " "),
      text: text(notice),
      messageId: `<${notice.id}@storage-qos>`,
    };
    const { rejected } = await transport.sendMail(mail).catch((error: SmtpError) => {
      throw isForGood(error) ? new PermanentFailure(error.message) : error;
    });
    if (rejected.length === 0) return;
    // To try again would send it twice to the others.
    log.warn(
      { notice: notice.id, refused: rejected.length },
      "not everybody gets a notice by email",
    );
  };
}

interface SmtpError extends Error {
  readonly code?: string;
  readonly responseCode?: number;
}

/** Nobody it is for takes it, and the server says so for good (RFC 5321, 4.2.1). */
function isForGood({ code, responseCode = 0 }: SmtpError): boolean {
  return code === "EENVELOPE" && responseCode >= 500;
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
