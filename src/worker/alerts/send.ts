import { logFor } from "../../log.ts";
import { makeAddressGuard } from "./address-guard.ts";
import { makeSendEmail } from "./email.ts";
import { PermanentFailure } from "./failure.ts";
import { headline, type Notice } from "./notice.ts";
import { isChannel } from "./notification-config.ts";
import { makePost } from "./post.ts";
import type { AlertSettings } from "./settings.ts";
import { sendSlack } from "./slack.ts";
import { sendWebhook } from "./webhook.ts";

const log = logFor("alerts");

export type Send = (notice: Notice) => Promise<void>;

/** Sends a notice through its channel, or throws: PermanentFailure where trying again is no use. */
export function makeSend(settings: AlertSettings): Send {
  const guard = makeAddressGuard(settings.allowedNetworks);
  const post = makePost(guard, settings.timeoutMilliseconds);
  const sendEmail = makeSendEmail(settings);
  return async (notice) => {
    const { channel } = notice;
    if (channel === null) throw new PermanentFailure("the alert has no such channel any more");
    if (!isChannel(channel))
      throw new PermanentFailure("the channel is not set up as it should be");
    switch (channel.channel) {
      case "webhook":
        return sendWebhook(post, channel, notice);
      case "slack":
        return sendSlack(post, channel, notice);
      case "email":
        return sendEmail(channel, notice);
      case "log":
        log.warn({ notice: notice.id, event: notice.event, ...notice.content }, headline(notice));
    }
  };
}
