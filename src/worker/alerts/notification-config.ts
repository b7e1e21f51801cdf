import { Ajv } from "ajv";

export interface WebhookChannel {
  readonly channel: "webhook";
  readonly url: string;
  readonly secret?: string;
}
export interface SlackChannel {
  readonly channel: "slack";
  readonly url: string;
}
export interface EmailChannel {
  readonly channel: "email";
  readonly to: readonly string[];
}
export interface LogChannel {
  readonly channel: "log";
}
export type Channel = WebhookChannel | SlackChannel | EmailChannel | LogChannel;

const events = { type: "array", items: { enum: ["triggered", "acknowledged", "resolved"] } };
/** Visible ASCII, as URLs are. Credentials in a URL would be logged. */
const url = { type: "string", maxLength: 2048, pattern: "^https?://[!-.0-?A-~]+(/[!-~]*)?$" };
const secret = { type: "string", minLength: 16, maxLength: 256 };
const address = {
  type: "string",
  maxLength: 254,
  pattern: '^(?=[!-~]+$)[^@,;<>"]+@[^@,;<>"]+$',
};
const to = { type: "array", minItems: 1, maxItems: 20, items: address };

function channel(name: Channel["channel"], fields: object, required: readonly string[]) {
  return {
    type: "object",
    properties: { channel: { const: name }, events, ...fields },
    required: ["channel", ...required],
    additionalProperties: false,
  };
}

const anyChannel = {
  oneOf: [
    channel("log", {}, []),
    channel("webhook", { url, secret }, ["url"]),
    channel("slack", { url }, ["url"]),
    channel("email", { to }, ["to"]),
  ],
};

/**
 * The notification_config of an alert: one channel, several, or none. SQL makes the same checks when an
 * alert is written (notification_problem); a test compares both.
 */
export const notificationConfigSchema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "notification_config",
  oneOf: [
    { type: "object", maxProperties: 0 },
    anyChannel,
    {
      type: "object",
      properties: { channels: { type: "array", maxItems: 20, items: anyChannel } },
      required: ["channels"],
      additionalProperties: false,
    },
  ],
};

const ajv = new Ajv({ strict: true });
export const isNotificationConfig = ajv.compile(notificationConfigSchema);
export const isChannel = ajv.compile<Channel>(anyChannel);
