import { describe, expect, test } from "vitest";
import { eventually } from "../harness/index.ts";
import { isTooWide, missing, violationsOf } from "./browser.ts";
import { consoleOfFile, signIn } from "./console.ts";

describe.skipIf(missing !== undefined)("the console", () => {
  const console = consoleOfFile();

  test("signs in and out, and keeps its tokens out of reach", async () => {
    const { page, context, complaints, strangers } = await console().visitor();
    await page.goto("/");
    await signIn(page, "system_admin@mine.example", "not the password");
    await page.getByRole("alert").getByText("Email or password is wrong").waitFor();
    await page.getByLabel("Password").fill("correct horse battery staple");
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Overview" }).waitFor();

    const cookies = await context.cookies();
    expect(cookies.map(({ name, httpOnly, sameSite }) => [name, httpOnly, sameSite])).toEqual([
      ["qos_access", true, "Strict"],
      ["qos_refresh", true, "Strict"],
    ]);
    expect(await page.evaluate("document.cookie")).toBe("");
    expect(
      await page.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage })"),
    ).not.toContain(cookies[0]?.value);

    await page.reload();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.getByRole("button", { name: /^Account of/ }).click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    expect(await context.cookies()).toEqual([]);
    expect({ complaints, strangers }).toEqual({ complaints: [], strangers: [] });
  });

  test("shows what happens as it happens", async () => {
    const { page } = await console().signedIn("system_admin");
    await page.getByText("Live", { exact: true }).waitFor();
    await console().consume("read_small", 10, 20);
    const busiest = page.getByRole("region", { name: "Busiest applications" });
    await busiest.getByRole("link", { name: console().appName }).waitFor();
    await page.getByRole("article").getByRole("link", { name: console().clusterName }).waitFor();
  });

  test("publishes a quota with a preview, and rolls it back", async () => {
    const { mine, appName, database } = console();
    const { page } = await console().signedIn(
      "system_admin",
      `/applications/${mine.appId}?tab=quota`,
    );
    await page.getByRole("button", { name: "Change the quota" }).click();
    const form = page.getByRole("dialog", { name: `Change the quota of ${appName}` });
    const operations = form.getByRole("group", { name: "Operations" });
    // The database says what is wrong with limits, before they are published.
    await operations.getByLabel("Sustained").fill("300");
    await form.getByText("QS422").waitFor();
    await operations.getByLabel("Burst", { exact: true }).fill("600");
    await form
      .getByText("The database takes these limits.")
      .or(form.locator(".note-warn"))
      .first()
      .waitFor();
    await form.getByRole("button", { name: "Try it" }).click();
    await form
      .getByRole("columnheader", { name: "This draft" })
      .or(form.getByText(/nothing to try/))
      .waitFor();
    await form.getByLabel("Reason").fill("more customers");
    await form.getByRole("button", { name: "Publish the quota" }).click();
    await page.getByText("Quota published").waitFor();

    const limit = async () => {
      const [row] = await database.sql`
        select i.iops_limit as limit from rate_limiter.quota_configs as q
        join rate_limiter.iops_quotas as i using (config_id)
        where q.app_id = ${mine.appId} and q.mode = 'enforce'
          and q.valid_from <= now() and (q.valid_to is null or q.valid_to > now())
      `;
      return row?.limit;
    };
    expect(await limit()).toBe(300);

    const versions = page.getByRole("region", { name: "Versions" });
    const before = versions.getByRole("row").filter({ hasText: "first quota" }).last();
    await before.getByRole("button", { name: "Roll back to this" }).click();
    const dialog = page.getByRole("dialog", { name: "Roll back" });
    await dialog.getByLabel("Reason").fill("too much");
    await dialog.getByRole("button", { name: "Roll back" }).click();
    await page.getByText("Rolled back").waitFor();
    expect(await limit()).toBe(100);
    await versions.getByRole("row").filter({ hasText: "too much" }).first().waitFor();
  });

  test("explains why an application is throttled", async () => {
    const { mine } = console();
    const { page } = await console().signedIn("app_viewer", `/applications/${mine.appId}`);
    await page.getByLabel("Operation", { exact: true }).selectOption("read_medium");
    await page.getByLabel("Size").fill("15 kB");
    await console().consume("read_medium", 15_000, 2);
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText(/^No\. Bandwidth is short/).waitFor();
    await page.getByRole("img", { name: /missing$/ }).waitFor();
    expect(page.url()).toContain("operation=read_medium");
  });

  test("acknowledges an alert", async () => {
    const { appName, database, mine } = console();
    const { page } = await console().signedIn("ops_admin", "/alerts");
    await page.getByRole("button", { name: `Acknowledge the alert of ${appName}` }).click();
    await page.getByText("Alert acknowledged").waitFor();
    const [alert] = await database.sql`
      select h.acknowledged_by from rate_limiter.alert_history as h
      where h.alert_id = ${mine.alertId}
    `;
    expect(alert?.acknowledged_by).toBe(mine.users.ops_admin);
  });

  test("rotates a key, and shows the new one once", async () => {
    const { mine, database } = console();
    const { page } = await console().signedIn("app_admin", `/applications/${mine.appId}?tab=keys`);
    await page.getByRole("button", { name: /^Rotate/ }).click();
    await page.getByRole("button", { name: "Rotate the key" }).click();
    const key = await page.getByRole("dialog", { name: "The new key" }).locator("code").innerText();
    const [found] = await database.as("rate_limiter_app")`
      select rate_limiter.application_of_key(${key}) as app_id
    `;
    expect(found?.app_id).toBe(mine.appId);
    await page.getByRole("button", { name: "I have it" }).click();
    await page.getByText(key).waitFor({ state: "detached" });
  });

  test("shows each role what it may do", async () => {
    const path = `/applications/${console().mine.appId}?tab=quota`;
    const seen = async (role: string) => {
      const { page } = await console().signedIn(role, path);
      await page.getByRole("region", { name: "Timeline" }).waitFor();
      const places = await page.getByRole("navigation").getByRole("link").allInnerTexts();
      const changes = await page.getByRole("button", { name: "Change the quota" }).count();
      return { places, changes };
    };
    expect(await seen("app_viewer")).toEqual({
      places: ["Overview", "Applications", "Clusters", "Tenants", "Alerts"],
      changes: 0,
    });
    expect(await seen("tenant_admin")).toEqual({
      places: [
        ...[
          "Overview",
          "Applications",
          "Clusters",
          "Tenants",
          "Alerts",
          "People",
          "Access",
          "Audit",
        ],
      ],
      changes: 1,
    });
  });

  test("says that the connection is lost, and goes on by itself", async () => {
    const { page, context } = await console().signedIn("app_viewer");
    await page.getByText("Live", { exact: true }).waitFor();
    await context.setOffline(true);
    await page.getByText("The connection is lost.").waitFor();
    // What came last stays to be read.
    await page.getByRole("article").getByText(console().clusterName).waitFor();
    await context.setOffline(false);
    await page.getByText("The connection is lost.").waitFor({ state: "detached" });
    await page.getByText("Live", { exact: true }).waitFor();
  });

  test("loses nothing when the session ends", async () => {
    const { mine } = console();
    const { page, context } = await console().signedIn(
      "system_admin",
      `/applications/${mine.appId}?tab=quota`,
    );
    await page.getByRole("button", { name: "Change the quota" }).click();
    await page.getByLabel("Reason").fill("typed before the session ended");
    await context.clearCookies();
    await page.getByRole("button", { name: "Publish the quota" }).click();
    const again = page.getByRole("dialog", { name: "Your session has ended" });
    await again.getByLabel("Password").fill("correct horse battery staple");
    await again.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.getByText("Quota published").waitFor();
    await page.getByRole("cell", { name: "typed before the session ended" }).first().waitFor();
  });

  test("is reached by the keyboard, and by names", async () => {
    const { page } = await console().signedIn("system_admin");
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").fill("application of mi");
    await page.getByRole("option", { name: /application of mine/ }).waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: console().appName }).waitFor();
    await page.goto("/nothing/here");
    await page.getByText("This page does not exist").waitFor();
  });

  test("has pages that axe-core finds nothing wrong with, and that fit a phone", async () => {
    const { mine } = console();
    const { page, complaints } = await console().signedIn("system_admin");
    const app = `/applications/${mine.appId}`;
    const pages = [
      ...["/", "/applications", "/clusters", `/clusters/${mine.clusterId}`, "/alerts?status=all"],
      ...["/people", "/audit", "/settings", "/jobs", "/processes", "/nothing/here"],
      ...["/tenants", `/tenants/${mine.tenantId}`, `${app}?tab=costs`, `${app}?tab=alerts`],
      `${app}?operation=read_medium&size=15kB`,
      ...[`${app}?tab=quota`, `${app}?tab=keys`, `${app}?tab=usage`],
    ];
    const wrong: string[] = [];
    for (const path of pages) {
      await page.goto(path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await eventually(async () => {
        expect(await page.getByText(/^(Loading|Connecting)/).count()).toBe(0);
      });
      const problems = await page.getByRole("alert").allInnerTexts();
      wrong.push(...problems.map((each) => `${path} tells a problem: ${each}`));
      wrong.push(...(await violationsOf(page)).map((each) => `${path}: ${each}`));
      await page.emulateMedia({ colorScheme: "dark" });
      const inDark = await violationsOf(page, "color-contrast");
      wrong.push(...inDark.map((each) => `${path} in dark: ${each}`));
      await page.emulateMedia({ colorScheme: "light" });
      await page.setViewportSize({ width: 360, height: 740 });
      if (await isTooWide(page)) wrong.push(`${path} is wider than 360 pixels`);
      await page.setViewportSize({ width: 1440, height: 900 });
    }
    expect(wrong).toEqual([]);
    expect(complaints).toEqual([]);
  }, 180_000);

  test("is small", async () => {
    const { page } = await console().visitor();
    let bytes = 0;
    page.on("response", async (response) => {
      const length = Number(response.headers()["content-length"] ?? 0);
      bytes += length;
    });
    await page.goto("/");
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.waitForLoadState("networkidle");
    expect(bytes).toBeGreaterThan(50_000);
    expect(bytes).toBeLessThan(300_000);
  });
});
