import { describe, expect, test } from "vitest";
import { isNotificationConfig } from "../../../src/worker/alerts/notification-config.ts";
import { createDatabase, expectSqlState } from "../../harness/index.ts";
import { makeApplication } from "../../sql/denials/world.ts";

const database = await createDatabase();
const hook = { channel: "webhook", url: "https://example.org/hook" };

const good: readonly unknown[] = [
  {},
  { channel: "log" },
  { channels: [] },
  { ...hook, secret: "0123456789abcdef", events: ["triggered"] },
  { channel: "slack", url: "http://example.org" },
  { channels: [hook, { channel: "email", to: ["a@example.org"] }, { channel: "log", events: [] }] },
];

const bad: readonly unknown[] = [
  [],
  "log",
  { channel: "pigeon" },
  { channel: 5 },
  { url: "https://example.org" },
  { channel: "webhook" },
  { ...hook, url: "ftp://example.org" },
  { ...hook, url: "https://user:pw@example.org/" },
  { ...hook, url: 5 },
  { ...hook, url: "https://\u202egro.elpmaxe/" },
  { ...hook, url: "https://example.org/\u200bhook" },
  { channel: "slack", url: "https://example.org/\u001b" },
  { channel: "email", to: ["a@example\u202e.org"] },
  { channel: "email", to: ["\u0001a@example.org"] },
  { ...hook, url: `https://example.org/${"x".repeat(2048)}` },
  { ...hook, secret: "short" },
  { ...hook, secret: 5 },
  { ...hook, events: ["deleted"] },
  { ...hook, events: "triggered" },
  { ...hook, more: 1 },
  { channel: "slack", url: "https://example.org", secret: "0123456789abcdef" },
  { channel: "email" },
  { channel: "email", to: [] },
  { channel: "email", to: "a@example.org" },
  { channel: "email", to: ["a"] },
  { channel: "email", to: ["a@b\r\nbcc: c@d"] },
  { channel: "email", to: [5] },
  { channels: {} },
  { channels: [hook], channel: "log" },
  { channels: [5] },
  { channels: [{}] },
  { channels: Array.from({ length: 21 }, () => ({ channel: "log" })) },
];

async function problemOf(config: unknown): Promise<string | null> {
  const [row] = await database.sql<{ problem: string | null }[]>`
    select rate_limiter_internal.notification_problem(${database.sql.json(config as never)})
      as problem
  `;
  return row?.problem ?? null;
}

describe("notification_config", () => {
  test.each(good.map((config) => [JSON.stringify(config), config]))(
    "%s fits",
    async (_, config) => {
      expect(isNotificationConfig(config)).toBe(true);
      expect(await problemOf(config)).toBeNull();
    },
  );

  test.each(bad.map((config) => [JSON.stringify(config).slice(0, 80), config]))(
    "%s does not fit",
    async (_, config) => {
      expect(isNotificationConfig(config)).toBe(false);
      expect(await problemOf(config)).not.toBeNull();
    },
  );

  test("is checked when an alert is written", async () => {
    const appId = await makeApplication(database);
    const error = await expectSqlState(
      database.sql`
        insert into rate_limiter.alert_configs
          (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
           notification_config)
        values (${appId}, 'm', '>', 1, 60, 'info', '{"channels": [{"channel": "pigeon"}]}')
      `,
      "QS422",
      "notification config does not fit",
    );
    expect(error.detail).toBe("channel 1: channel is not webhook, slack, email or log");
  });
});
