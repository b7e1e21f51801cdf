import { headline, type Notification } from "./notification.ts";
import type { SlackChannel } from "./notification-config.ts";
import type { Post } from "./post.ts";

const colours = { info: "#439fe0", warning: "#daa038", critical: "#a30200" } as const;
const resolvedColour = "#2eb886";

/** The incoming-webhook format that Slack made and others read too. */
export async function sendSlack(
  post: Post,
  channel: SlackChannel,
  notification: Notification,
  signal?: AbortSignal,
): Promise<void> {
  const { alert, description, triggered_at, resolved_at } = notification.content;
  const colour = notification.event === "resolved" ? resolvedColour : colours[alert.severity];
  const fields = [
    { title: "Triggered", value: triggered_at, short: true },
    ...(resolved_at ? [{ title: "Resolved", value: resolved_at, short: true }] : []),
  ];
  const text = withoutMarkup(headline(notification));
  const body = {
    text,
    attachments: [
      { color: colour, fallback: text, text: withoutMarkup(description ?? ""), fields },
    ],
  };
  await post(channel.url, JSON.stringify(body), {}, signal);
}

/** Names come from tenants: none of them may mention a channel or make a link. */
function withoutMarkup(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
