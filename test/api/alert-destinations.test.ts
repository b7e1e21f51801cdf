import { describe, expect, test } from "vitest";
import { dataOf, refusalOf, serveTwoTenants } from "./world.ts";

const { as, mine, database } = await serveTwoTenants();
const { sql } = database;

const ask = `query ($alert: UUID!) {
  alertConfig(alertId: $alert) { destinations { channel target } }
}`;

async function destinationsOf(config: object) {
  const [alert] = await sql`
    insert into rate_limiter.alert_configs
      (app_id, metric_name, condition, threshold_value, duration_seconds, severity,
        notification_config)
    values (${mine.appId}, 'depth', '>', 1, 60, 'info', ${sql.json(config as never)})
    returning alert_id
  `;
  const { alertConfig } = await dataOf(as.app_viewer.ask(ask, { alert: alert?.alert_id }));
  return alertConfig.destinations;
}

describe("where an alert goes", () => {
  test("is told by hosts and domains, once each", async () => {
    const webhook = "https://Hooks.example.org:8443/services/T0/B0/secret?token=secret";
    const channels = [
      { channel: "webhook", url: webhook, secret: "0123456789abcdef" },
      { channel: "slack", url: "https://hooks.slack.example/services/T0/secret" },
      { channel: "email", to: ["ann@Example.org", "bob@example.org", "eve@example.net"] },
      { channel: "log" },
    ];
    const shown = await destinationsOf({ channels });
    expect(shown).toEqual([
      { channel: "EMAIL", target: "example.net" },
      { channel: "EMAIL", target: "example.org" },
      { channel: "LOG", target: null },
      { channel: "SLACK", target: "hooks.slack.example" },
      { channel: "WEBHOOK", target: "hooks.example.org" },
    ]);
    expect(JSON.stringify(shown)).not.toMatch(/secret|ann@|bob|8443|T0\//);
    expect(await destinationsOf({})).toEqual([]);
  });

  test.each([
    ["https://user:password@host.example/path", "host.example"],
    ["https://[2001:db8::1]:8443/path", "[2001:db8::1]"],
    ["http://host.example?key=secret", "host.example"],
    ["http://host.example#secret", "host.example"],
    ["https://host.example\\@secret", "host.example"],
    ["secret", null],
  ])("of %s it is %s", async (url, host) => {
    const [row] = await sql`select rate_limiter_internal.url_host(${url}) as host`;
    expect(row?.host).toBe(host);
  });
});

describe("an address that is not public", () => {
  const saveAlert = (url: string) =>
    as.tenant_admin.ask(
      `mutation ($input: CreateAlertConfigInput!) {
        createAlertConfig(input: $input) { alertConfig { alertId } }
      }`,
      {
        input: {
          ...{
            appId: mine.appId,
            metricName: "depth",
            condition: "GREATER_THAN",
            thresholdValue: 1,
          },
          ...{ durationSeconds: 60, severity: "INFO" },
          channels: [{ channel: "LOG" }, { channel: "WEBHOOK", url }],
        },
      },
    );
  const saveCluster = (healthCheckUrl: string) =>
    as.system_admin.ask(
      `mutation ($clusterId: UUID!, $patch: ClusterPatch!) {
        updateCluster(input: { clusterId: $clusterId, patch: $patch }) { cluster { name } }
      }`,
      { clusterId: mine.clusterId, patch: { healthCheckUrl } },
    );

  test("is neither that of a webhook nor that of a probe", async () => {
    for (const save of [saveAlert, saveCluster]) {
      for (const host of ["169.254.169.254", "0x7f.1", "[64:ff9b::a00:1]", "localhost"]) {
        expect(await refusalOf(save(`http://${host}/`)), host).toBe("QS422 address is not public");
      }
      await dataOf(save("https://example.org/hook"));
    }
  });

  test("is taken where a worker that runs would call it", async () => {
    await database.sql`
      select rate_limiter_private.heartbeat_workers(array['here'], '{10.1.0.0/16}', '{10.2.0.0/16}')
    `;
    await dataOf(saveAlert("http://10.1.2.3/hook"));
    await dataOf(saveCluster("http://10.2.3.4/health"));
    expect(await refusalOf(saveAlert("http://10.2.3.4/"))).toContain("address is not public");
    await database.sql`select rate_limiter_private.forget_workers(array['here'])`;
    expect(await refusalOf(saveAlert("http://10.1.2.3/"))).toContain("address is not public");
  });
});
