import { logFor } from "../../log.ts";
import { makeAddressGuard } from "./address-guard.ts";
import { makeSendEmail } from "./email.ts";
import { PermanentFailure } from "./failure.ts";
import { headline, type Notification } from "./notification.ts";
import { isChannel } from "./notification-config.ts";
import { makePost } from "./post.ts";
import type { AlertSettings } from "./settings.ts";
import { sendSlack } from "./slack.ts";
import { sendWebhook } from "./webhook.ts";

const log = logFor("alerts");

export type Send = (notification: Notification, signal?: AbortSignal) => Promise<void>;

/**
 * Sends a notification through its channel, or throws: PermanentFailure where a retry cannot succeed.
 * The signal ends it early: its connection is closed at once.
 */
export function makeSend(settings: AlertSettings): Send {
  const guard = makeAddressGuard(settings.allowedNetworks);
  const post = makePost(guard, settings.timeoutMs);
  const sendEmail = makeSendEmail(settings);
  return async (notification, signal) => {
    const { channel } = notification;
    if (channel === null) throw new PermanentFailure("the alert has no such channel any more");
    if (!isChannel(channel))
      throw new PermanentFailure("the channel is not set up as it should be");
    switch (channel.channel) {
      case "webhook":
        return sendWebhook(post, channel, notification, signal);
      case "slack":
        return sendSlack(post, channel, notification, signal);
      case "email":
        return sendEmail(channel, notification, signal);
      case "log":
        log.warn(
          { notification: notification.id, event: notification.event, ...notification.content },
          headline(notification),
        );
    }
  };
}
