import type { JobHelpers } from "graphile-worker";
import { PermanentFailure } from "../src/worker/alerts/failure.ts";
import type { Notice } from "../src/worker/alerts/notice.ts";
import { makeSend } from "../src/worker/alerts/send.ts";
import { settleNotification } from "../src/worker/alerts/settle-notification.ts";
import type { MakeTask } from "../src/worker/task.ts";

/**
 * Sends one notice: at least once, for a worker may die between sending and saying so. A failure is
 * tried again with growing pauses; what cannot succeed, or failed for the last time, becomes a dead
 * letter, and its job is done.
 */
export const makeTask: MakeTask = (settings) => {
  const send = makeSend(settings.alerts);
  return async (payload, helpers) => {
    const { notice_id: id } = payload as { notice_id: string };
    const answer = await helpers.query<Omit<Notice, "id">>(
      "select * from rate_limiter_private.deliver_notification($1)",
      [id],
    );
    const notice = answer.rows[0];
    if (notice === undefined) return;
    try {
      await send({ id, ...notice });
    } catch (error) {
      await settleFailure(helpers, id, error);
      return;
    }
    await settleNotification(helpers, id, "sent");
  };
};

async function settleFailure(helpers: JobHelpers, id: string, error: unknown): Promise<void> {
  const { job } = helpers;
  const isLast = error instanceof PermanentFailure || job.attempts >= job.max_attempts;
  const message = error instanceof Error ? error.message : String(error);
  await settleNotification(helpers, id, isLast ? "dead" : "pending", message);
  if (!isLast) throw error;
  helpers.logger.error(`a notice could not be sent: ${message}`, { notice: id });
}
