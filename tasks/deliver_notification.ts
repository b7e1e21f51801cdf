import type { JobHelpers } from "graphile-worker";
import { PermanentFailure } from "../src/worker/alerts/failure.ts";
import type { Notification } from "../src/worker/alerts/notification.ts";
import { recordDelivery } from "../src/worker/alerts/record-delivery.ts";
import { makeSend } from "../src/worker/alerts/send.ts";
import type { MakeTask } from "../src/worker/task.ts";

/**
 * Sends one notification: at least once, because a worker may die between sending it and recording
 * that. A failure is retried with growing delays; what cannot succeed, or failed for the last time,
 * becomes a dead letter, and its job succeeds. A worker that stops ends the attempt: another worker
 * makes the next one, under the same id.
 */
export const makeTask: MakeTask = (settings) => {
  const send = makeSend(settings.alerts);
  return async (payload, helpers) => {
    const { notification_id: id } = payload as { notification_id: string };
    const answer = await helpers.query<Omit<Notification, "id">>(
      "select * from rate_limiter_private.deliver_notification($1)",
      [id],
    );
    const notification = answer.rows[0];
    if (notification === undefined) return;
    try {
      await send({ id, ...notification }, helpers.abortSignal);
    } catch (error) {
      await settleFailure(helpers, id, error);
      return;
    }
    await recordDelivery(helpers, id, "sent");
  };
};

async function settleFailure(helpers: JobHelpers, id: string, error: unknown): Promise<void> {
  const { job } = helpers;
  const isLast = error instanceof PermanentFailure || job.attempts >= job.max_attempts;
  const message = error instanceof Error ? error.message : String(error);
  if (helpers.abortSignal.aborted && job.attempts >= job.max_attempts) {
    await recordDelivery(helpers, id, "dead", message);
    await replayNotification(helpers, id);
    return;
  }
  await recordDelivery(helpers, id, isLast ? "dead" : "pending", message);
  if (!isLast) throw error;
  helpers.logger.error(`a notification could not be sent: ${message}`, { notification: id });
}

/** The receiver did not have its last attempt in full: a job of new attempts makes it again. */
async function replayNotification(helpers: JobHelpers, id: string): Promise<void> {
  await helpers.query("select rate_limiter_private.replay_notifications(array[$1::uuid])", [id]);
}
