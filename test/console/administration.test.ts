import { describe, expect, test } from "vitest";
import { eventually } from "../harness/index.ts";
import { missing } from "./browser.ts";
import { consoleOfFile } from "./console.ts";

describe.skipIf(missing !== undefined)("the console, for those who administer", () => {
  const console = consoleOfFile();

  test("makes an alert after a preview of the last day, changes it and deletes it", async () => {
    const { mine, database } = console();
    await database.sql`
      insert into rate_limiter.metrics (shard_key, app_id, metric_name, timestamp, value)
      select f.shard_key, f.app_id, 'qos_denied_operations', now() - m * interval '1 minute',
        case when m between 10 and 14 then 40 else 3 end
      from generate_series(1, 60) as m
      cross join rate_limiter.app_facts as f
      where f.app_id = ${mine.appId}
    `;
    const path = `/applications/${mine.appId}?tab=alerts`;
    const { page } = await console().signedIn("ops_admin", path);
    await page.getByRole("button", { name: "Make an alert" }).click();
    const form = page.getByRole("dialog", { name: /^Watch/ });
    await form.getByRole("textbox", { name: "Threshold" }).fill("30");
    await form.getByLabel("For", { exact: true }).fill("180");
    await form.getByText("It would have triggered once.").waitFor();
    await form.getByRole("textbox", { name: "Threshold" }).fill("50");
    await form.getByText("It would have triggered never.").waitFor();
    await form.getByLabel("It is sent to").selectOption("webhook");
    await form.getByLabel("Address").fill("https://example.org/alerts");
    await form.getByLabel("Secret").fill("sixteen characters");
    await form.getByRole("button", { name: "Make the alert" }).click();
    await page.getByText("Alert made").waitFor();

    const rule = async () => {
      const [row] = await database.sql`
        select a.threshold_value, a.duration_seconds, a.notification_config
        from rate_limiter.alert_configs as a
        where a.app_id = ${mine.appId} and a.metric_name = 'qos_denied_operations'
      `;
      return row;
    };
    const channel = {
      ...{ channel: "webhook", url: "https://example.org/alerts", secret: "sixteen characters" },
    };
    expect(await rule()).toMatchObject({
      ...{
        threshold_value: 50,
        duration_seconds: 180,
        notification_config: { channels: [channel] },
      },
    });

    await page.getByRole("button", { name: /^Change the alert on Denied operations/ }).click();
    const change = page.getByRole("dialog", { name: /^Change an alert/ });
    await change.getByRole("textbox", { name: "Threshold" }).fill("20");
    await change.getByRole("button", { name: "Change the alert" }).click();
    await page.getByText("Alert changed").waitFor();
    // Where it goes is not told to the page, and stays.
    expect(await rule()).toMatchObject({
      threshold_value: 20,
      notification_config: { channels: [channel] },
    });

    await page.getByRole("button", { name: /^Delete the alert on Denied operations/ }).click();
    await page.getByRole("button", { name: "Delete the alert", exact: true }).click();
    await page.getByText("Alert deleted").waitFor();
    expect(await rule()).toBeUndefined();
  });

  test("sends a notification again that was given up", async () => {
    const { mine, appName, database } = console();
    const [alert] = await database.sql<{ historyId: string }[]>`
      select h.history_id as "historyId" from rate_limiter.alert_history as h
      where h.alert_id = ${mine.alertId}
    `;
    const historyId = alert?.historyId ?? "";
    await database.sql`
      insert into rate_limiter.alert_notifications (
        history_id, alert_id, app_id, event, channel_number, channel, content, status, attempts,
        last_error
      ) values (
        ${historyId}, ${mine.alertId}, ${mine.appId}, 'triggered', 7, 'webhook', '{}', 'dead', 8,
        'the receiver answered 500'
      )
    `;
    const { page } = await console().signedIn("ops_admin", "/alerts");
    const card = page.getByRole("region", { name: "Not delivered" });
    await card.getByText("the receiver answered 500").waitFor();
    await card.getByRole("button", { name: `Send again: Triggered of ${appName}` }).click();
    await card.waitFor({ state: "detached" });
    const [row] = await database.sql`
      select n.status from rate_limiter.alert_notifications as n
      where n.history_id = ${historyId} and n.channel_number = 7
    `;
    expect(row?.status).toBe("pending");
  });

  test("gives a program an account and a token, and takes the token back", async () => {
    const { page } = await console().signedIn("tenant_admin", "/people");
    await page.getByRole("link", { name: /service accounts/ }).click();
    await page.getByRole("button", { name: "Make an account" }).click();
    const account = page.getByRole("dialog", { name: "Make a service account" });
    await account.getByLabel("Name").fill("deploys");
    await account.getByLabel("Role").selectOption("app_viewer");
    await account.getByRole("button", { name: "Make the account" }).click();
    await page.getByRole("button", { name: "Make a token of deploys" }).click();
    const token = page.getByRole("dialog", { name: "Make a token" });
    await token.getByLabel("Name").fill("of the build");
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString().slice(0, 16);
    await token.getByLabel("Until").fill(tomorrow);
    await token.getByRole("button", { name: "Make the token" }).click();
    await page.getByText(/^qst_/).waitFor();
    await page.getByRole("button", { name: "I have it" }).click();
    await page.getByRole("button", { name: "Revoke the token of the build" }).click();
    await page.getByRole("button", { name: "Revoke the token", exact: true }).click();
    await page.getByText("Token revoked").waitFor();
  });

  test("invites, maps a group, and takes both back", async () => {
    const { page } = await console().signedIn("tenant_admin", "/access");
    await page.getByRole("button", { name: "Invite", exact: true }).click();
    const invitation = page.getByRole("dialog", { name: "Invite" });
    await invitation.getByLabel("Address").fill("new@mine.example");
    await invitation.getByLabel("Role").selectOption("app_viewer");
    await invitation.getByRole("button", { name: "Make the invitation" }).click();
    await page.getByText(/\/invitation#qsi_/).waitFor();
    await page.getByRole("button", { name: "I have it" }).click();
    await page.getByRole("button", { name: "Revoke the invitation of new@mine.example" }).click();
    await page.getByRole("button", { name: "Revoke the invitation", exact: true }).click();
    await page.getByText("Invitation revoked").waitFor();

    await page.getByRole("button", { name: "Map a group" }).click();
    const group = page.getByRole("dialog", { name: "Map a group" });
    await group.getByLabel("Group").fill("storage");
    await group.getByLabel("Role").selectOption("app_viewer");
    await group.getByRole("button", { name: "Map the group" }).click();
    await page.getByRole("button", { name: "End the mapping of storage" }).click();
    await page.getByRole("button", { name: "End the mapping", exact: true }).click();
    await page.getByText("Mapping ended").waitFor();
  });

  test("exports the audit into a file; who may not give access sees no way to it", async () => {
    const { page } = await console().signedIn("auditor", "/audit");
    expect(await page.getByRole("link", { name: "Access" }).count()).toBe(0);
    const downloading = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export" }).click();
    expect((await downloading).suggestedFilename()).toBe("audit.csv");
    await page.getByText("Audit exported").waitFor();

    await page.route("**/export/audit.csv*", (route) =>
      route.fulfill({ headers: { "x-row-limit": "2" }, body: "audit_id\n1\n2\n" }),
    );
    await page.getByRole("button", { name: "Export" }).click();
    await page.getByText("Audit exported in part").waitFor();
  });

  test("sets a ceiling, and says what stands above one that is too low", async () => {
    const { mine } = console();
    const { page } = await console().signedIn("system_admin", `/tenants/${mine.tenantId}`);
    await page.getByRole("button", { name: "Set a ceiling" }).click();
    const dialog = page.getByRole("dialog", { name: /^A ceiling for/ });
    await dialog.getByLabel("Operations").fill("1");
    await dialog.getByLabel("Reason").fill("what was sold");
    await dialog.getByRole("button", { name: "Set the ceiling" }).click();
    await dialog.getByText(/QS4\d\d/).waitFor();
    await dialog.getByLabel("Operations").fill("5000");
    await dialog.getByRole("button", { name: "Set the ceiling" }).click();
    await page.getByText("Ceiling set").waitFor();
    await page.getByRole("meter", { name: "Operations given out, all clusters" }).waitFor();
  });

  test("suspends a tenant, with a reason, and lifts it", async () => {
    const { mine } = console();
    const { page } = await console().signedIn("system_admin", `/tenants/${mine.tenantId}`);
    const consume = () => console().consume("read_small", 0, 1);
    await page.getByRole("button", { name: "Suspend" }).click();
    const dialog = page.getByRole("dialog", { name: /^Suspend/ });
    await dialog.getByLabel("Reason").fill("invoices are open");
    await dialog.getByRole("button", { name: "Suspend" }).click();
    await page.getByText("suspended: invoices are open").waitFor();
    await expect(consume()).rejects.toMatchObject({ code: "QS403" });
    await page.getByRole("button", { name: "Lift the suspension" }).click();
    const lift = page.getByRole("dialog", { name: "Lift the suspension" });
    await lift.getByLabel("Reason").fill("they are paid");
    await lift.getByRole("button", { name: "Lift it" }).click();
    await page.getByText("Suspension lifted").waitFor();
    await consume();
  });

  test("gives an operation a cost of its own, and takes it back", async () => {
    const { mine, database } = console();
    const path = `/applications/${mine.appId}?tab=costs`;
    const { page } = await console().signedIn("system_admin", path);
    const cost = async () => {
      const [row] = await database.as("rate_limiter_app")<{ tokens: string }[]>`
        select cost as tokens from rate_limiter.consume(${mine.appId}, 'read_small', 0)
      `;
      return Number(row?.tokens);
    };
    await page.getByRole("button", { name: "Change the cost of read small" }).click();
    const dialog = page.getByRole("dialog", { name: "The cost of read small" });
    await dialog.getByLabel("Base").fill("2.5");
    await dialog.getByRole("button", { name: "Set the cost" }).click();
    await page.getByText("Cost set").waitFor();
    expect(await cost()).toBe(2.5);
    await page.getByRole("button", { name: "Back to the list for read small" }).click();
    await page.getByRole("button", { name: "Remove its own cost" }).click();
    await page.getByText("Cost removed").waitFor();
    expect(await cost()).not.toBe(2.5);
  });

  test("shows where a user is signed in, and ends a session", async () => {
    const { context } = await console().signedIn("app_viewer");
    const { page } = await console().signedIn("tenant_admin", "/people");
    await page.getByRole("button", { name: "Sessions of app_viewer" }).click();
    const dialog = page.getByRole("dialog", { name: "Sessions" });
    const ends = dialog.getByRole("button", { name: /^End the session/ });
    await ends.first().waitFor();
    // That of the browser, and that of a script.
    for (let left = await ends.count(); left > 0; left -= 1) {
      await ends.first().click();
      await eventually(async () => expect(await ends.count()).toBe(left - 1));
    }
    await dialog.getByText("Signed in nowhere").waitFor();
    const other = await context.newPage();
    await other.goto("/");
    await other.getByRole("heading", { name: "Sign in" }).waitFor();
  });

  test("offers none of it to who may not do it", async () => {
    const { mine } = console();
    const { page } = await console().signedIn("app_viewer", `/tenants/${mine.tenantId}`);
    await page.getByRole("region", { name: "Ceilings" }).waitFor();
    for (const name of ["Set a ceiling", "Suspend"]) {
      expect(await page.getByRole("button", { name }).count()).toBe(0);
    }
    await page.goto(`/applications/${mine.appId}?tab=alerts`);
    await page.getByRole("region", { name: "Rules" }).getByRole("table").waitFor();
    expect(await page.getByRole("button", { name: "Make an alert" }).count()).toBe(0);
  });
});
