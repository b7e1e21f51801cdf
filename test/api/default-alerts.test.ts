import { describe, expect, test } from "vitest";
import { dataOf, serveTwoTenants } from "./world.ts";

const { as, mine, theirs, database } = await serveTwoTenants();
const { sql } = database;

const [rule] = await sql<{ id: string }[]>`
  update rate_limiter.alert_configs
  set notification_config = '{"channel": "slack", "url": "https://hooks.operator.example/T0"}'
  where app_id is null and metric_name = 'qos_bucket_fill_iops'
  returning alert_id as id
`;
const alertId = rule?.id ?? "";

/** Triggered for both tenants, and what was told of it could not be sent. */
await sql`
  with begun as (
    insert into rate_limiter.alert_history (alert_id, app_id, actual_value, threshold_value)
    select ${alertId}, a.app_id, 12, 20
    from rate_limiter.applications as a
    where a.app_id in (${mine.appId}, ${theirs.appId})
    returning alert_id, app_id, history_id
  )
  insert into rate_limiter.alert_notifications
    (alert_id, app_id, history_id, event, channel_number, channel, content, status, last_error)
  select b.alert_id, b.app_id, b.history_id, 'triggered', 1, 'slack', '{}', 'dead', 'no route'
  from begun as b
`;

const seen = `query ($alert: UUID!) {
  alertConfig(alertId: $alert) { appId application { name } destinations { target } }
  alerts(first: 10, filter: { alertId: { equalTo: $alert } }) { nodes { appId status } }
  alertNotifications(first: 10, filter: { status: { equalTo: DEAD } }) {
    nodes { notificationId alertConfig { alertId } }
  }
}`;

describe("a default alert", () => {
  test("is seen by a tenant, with its own applications' state and not where the operator hears of it", async () => {
    const data = await dataOf(as.tenant_admin.ask(seen, { alert: alertId }));
    expect(data.alertConfig).toEqual({ appId: null, application: null, destinations: [] });
    expect(data.alerts.nodes).toEqual([{ appId: mine.appId, status: "TRIGGERED" }]);
    const told = data.alertNotifications.nodes.map(
      (each: { alertConfig: { alertId: string } }) => each.alertConfig.alertId,
    );
    expect(told).not.toContain(alertId);
  });

  test("is the operator's with all of it", async () => {
    const data = await dataOf(as.system_admin.ask(seen, { alert: alertId }));
    expect(data.alertConfig.destinations).toEqual([{ target: "hooks.operator.example" }]);
    expect(data.alerts.nodes).toHaveLength(2);
    const told = data.alertNotifications.nodes.filter(
      (each: { alertConfig: { alertId: string } }) => each.alertConfig.alertId === alertId,
    );
    expect(told).toHaveLength(2);
  });

  test("cannot be changed, deleted or sent again by a tenant", async () => {
    const [dead] = await sql<{ id: string }[]>`
      select notification_id as id from rate_limiter.alert_notifications
      where alert_id = ${alertId} and app_id = ${mine.appId}
    `;
    const attempts = [
      `mutation { updateAlertConfig(input: { alertId: "${alertId}", patch: { isActive: false } }) { alertConfig { alertId } } }`,
      `mutation { deleteAlertConfig(input: { alertId: "${alertId}" }) { alertConfig { alertId } } }`,
      `mutation { createAlertConfig(input: { metricName: "m", condition: GREATER_THAN, thresholdValue: 1, durationSeconds: 1, severity: INFO, channels: [] }) { alertConfig { alertId } } }`,
      `mutation { replayNotification(input: { notificationId: "${dead?.id}" }) { clientMutationId } }`,
    ];
    for (const attempt of attempts) {
      // What may not be changed is not found, or is refused.
      const { data, errors = [] } = await as.tenant_admin.ask(attempt);
      expect([
        attempt,
        Object.values(data ?? {}).flatMap((field) => Object.values(field ?? {}).filter(Boolean)),
      ]).toEqual([attempt, []]);
      const codes = errors.map(({ extensions }) => extensions.code);
      expect(codes.filter((code) => code === "QS400" || code === "QS500")).toEqual([]);
    }
    expect(
      await sql`
        select is_active from rate_limiter.alert_configs where alert_id = ${alertId}
      `,
    ).toEqual([{ is_active: true }]);
  });

  test("is acknowledged by the tenant that it is triggered for", async () => {
    const { alerts } = await dataOf(
      as.tenant_admin.ask(
        "query ($alert: UUID!) { alerts(first: 9, filter: { alertId: { equalTo: $alert } }) { nodes { historyId } } }",
        { alert: alertId },
      ),
    );
    const { acknowledgeAlert } = await dataOf(
      as.tenant_admin.ask(
        "mutation ($id: UUID!) { acknowledgeAlert(input: { historyId: $id }) { alert { status } } }",
        { id: alerts.nodes[0].historyId },
      ),
    );
    expect(acknowledgeAlert.alert.status).toBe("ACKNOWLEDGED");
  });

  test("is switched off by a tenant for itself alone", async () => {
    const change = `mutation ($tenant: UUID!) {
      updateTenant(input: { tenantId: $tenant, patch: { hasDefaultAlerts: false } }) {
        tenant { hasDefaultAlerts }
      }
    }`;
    const own = await dataOf(as.tenant_admin.ask(change, { tenant: mine.tenantId }));
    expect(own.updateTenant.tenant).toEqual({ hasDefaultAlerts: false });
    const { updateTenant } = await dataOf(as.tenant_admin.ask(change, { tenant: theirs.tenantId }));
    expect(updateTenant.tenant).toBeNull();
    const rows = await sql`
      select tenant_id, has_default_alerts as has from rate_limiter.tenants
      where tenant_id in (${mine.tenantId}, ${theirs.tenantId}) order by has_default_alerts
    `;
    expect(rows.map(({ has }) => has)).toEqual([false, true]);
  });
});
