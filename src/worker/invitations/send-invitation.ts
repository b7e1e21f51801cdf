import { allowedRecipients } from "../alerts/recipients.ts";
import type { AlertSettings } from "../alerts/settings.ts";
import { failureOf, makeTransport, oneLine } from "../alerts/smtp.ts";
import type { InvitationSettings } from "./settings.ts";

/** As the database answers it: its token is in no other place. */
export interface Invitation {
  readonly token: string;
  readonly email: string;
  readonly tenant: string;
  readonly expires_at: Date;
}

export type SendInvitation = (invitation: Invitation, signal?: AbortSignal) => Promise<void>;

/** Undefined where no mail can be sent: the inviter passes the link on. */
export function makeSendInvitation(
  alerts: AlertSettings,
  { consoleUrl }: InvitationSettings,
): SendInvitation | undefined {
  const { smtpUrl, emailFrom, emailDomains } = alerts;
  if (smtpUrl === undefined || consoleUrl === undefined) return undefined;
  const transport = makeTransport({ ...alerts, smtpUrl });
  return async (invitation, signal) => {
    const mail = {
      from: emailFrom,
      to: allowedRecipients([invitation.email], emailDomains),
      subject: `Invitation to ${oneLine(invitation.tenant)}`,
      text: text(invitation, consoleUrl),
      ...(signal && { signal }),
    };
    await transport.sendMail(mail).catch((error: Error) => {
      throw failureOf(error);
    });
  };
}

/** The token is behind the #: no server and no log on the way sees it. */
export function invitationLink(consoleUrl: string, token: string): string {
  return `${consoleUrl.replace(/\/+$/, "")}/invitation#${token}`;
}

function text({ token, tenant, expires_at }: Invitation, consoleUrl: string): string {
  return [
    `You are invited to administer storage of ${oneLine(tenant)}.`,
    "",
    `Set your password here, once, until ${new Date(expires_at).toISOString()}:`,
    "",
    invitationLink(consoleUrl, token),
    "",
    "If you expect no such invitation, leave it: without you nothing happens.",
    "",
  ].join("\n");
}
