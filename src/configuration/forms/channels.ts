import type { Form } from "./form.ts";

/** An alert's channels without secrets: webhooks and Slack are set by the admin API, and stay. */
export const channels: Form = {
  schema: {
    title: "a list of log and {email: […]}",
    type: "array",
    maxItems: 20,
    items: {
      title: "log or {email: […]}",
      if: { type: "string" },
      // biome-ignore lint/suspicious/noThenProperty: JSON schema has this key.
      then: { title: "log or {email: […]}", enum: ["log"] },
      else: {
        title: "log or {email: […]}",
        type: "object",
        additionalProperties: false,
        required: ["email"],
        properties: {
          email: {
            title: "a list of 1 to 20 addresses",
            type: "array",
            minItems: 1,
            maxItems: 20,
            items: {
              title: "an address",
              type: "string",
              maxLength: 254,
              pattern: '^[^\\s@,;<>"]+@[^\\s@,;<>"]+$',
            },
          },
        },
      },
    },
  },
  read: (value) =>
    (value as (string | { email: string[] })[]).map((channel) =>
      typeof channel === "string" ? { channel } : { channel: "email", to: channel.email },
    ),
  write: (value) =>
    (value as { channel: string; to?: string[] }[]).map(({ channel, to }) =>
      channel === "email" ? { email: to } : channel,
    ),
};
