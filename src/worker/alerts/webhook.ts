import { createHmac } from "node:crypto";
import type { Notice } from "./notice.ts";
import type { WebhookChannel } from "./notification-config.ts";
import type { Post } from "./post.ts";

/**
 * The receiver checks the signature: HMAC-SHA256 with the channel's secret over the time, a dot and
 * the body, as sent in `storage-qos-signature: t=<seconds>,v1=<hex>`. The time keeps an old notice
 * from being played again; the notice's id tells a repeated one.
 */
export async function sendWebhook(
  post: Post,
  channel: WebhookChannel,
  notice: Notice,
): Promise<void> {
  const { id, event, content } = notice;
  const body = JSON.stringify({ id, event, ...content });
  const headers: Record<string, string> = { "storage-qos-notice": id };
  if (channel.secret !== undefined) {
    const time = Math.floor(Date.now() / 1000);
    headers["storage-qos-signature"] = `t=${time},v1=${sign(channel.secret, `${time}.${body}`)}`;
  }
  await post(channel.url, body, headers);
}

export function sign(secret: string, text: string): string {
  return createHmac("sha256", secret).update(text).digest("hex");
}
