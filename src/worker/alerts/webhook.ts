import { createHmac } from "node:crypto";
import type { Notification } from "./notification.ts";
import type { WebhookChannel } from "./notification-config.ts";
import type { Post } from "./post.ts";

/**
 * The receiver checks the signature: HMAC-SHA256 with the channel's secret over the time, a dot and
 * the body, as sent in `storage-qos-signature: t=<seconds>,v1=<hex>`. The time lets receivers refuse a
 * replayed request; the notification's id identifies a repeated one.
 */
export async function sendWebhook(
  post: Post,
  channel: WebhookChannel,
  notification: Notification,
  signal?: AbortSignal,
): Promise<void> {
  const { id, event, content } = notification;
  const body = JSON.stringify({ id, event, ...content });
  const headers: Record<string, string> = { "storage-qos-notification": id };
  if (channel.secret !== undefined) {
    const time = Math.floor(Date.now() / 1000);
    headers["storage-qos-signature"] = `t=${time},v1=${sign(channel.secret, `${time}.${body}`)}`;
  }
  await post(channel.url, body, headers, signal);
}

export function sign(secret: string, text: string): string {
  return createHmac("sha256", secret).update(text).digest("hex");
}
