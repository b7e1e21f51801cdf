import { PermanentFailure } from "../src/worker/alerts/failure.ts";
import { type Invitation, makeSendInvitation } from "../src/worker/invitations/send-invitation.ts";
import type { MakeTask } from "../src/worker/task.ts";

/**
 * Mails one invitation. Each attempt has a token of its own, of which the database has the hash: it
 * is in no job and no row. Where no mail is set up, the inviter passes the link on.
 */
export const makeTask: MakeTask = (settings) => {
  const send = makeSendInvitation(settings.alerts, settings.invitations);
  return async (payload, helpers) => {
    if (send === undefined) return;
    const { invitation_id: id } = payload as { invitation_id: string };
    const { rows } = await helpers.query<Invitation>(
      "select * from rate_limiter_private.send_invitation($1)",
      [id],
    );
    if (rows[0] === undefined) return;
    try {
      await send(rows[0], helpers.abortSignal);
    } catch (error) {
      if (!(error instanceof PermanentFailure)) throw error;
      helpers.logger.error(`an invitation could not be sent: ${error.message}`, { invitation: id });
    }
  };
};
