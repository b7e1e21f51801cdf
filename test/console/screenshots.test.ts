import { mkdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { eventually } from "../harness/index.ts";
import { missing } from "./browser.ts";
import { type ConsoleWorld, consoleOfFile } from "./console.ts";

const isAsked = process.env.QOS_CONSOLE_SCREENSHOTS === "1";

/** What the applications of the pictures take in each round, of how many bytes. */
const traffic = [
  { name: "photos", times: 14, bytes: 70_000 },
  { name: "backups", times: 9, bytes: 400_000 },
  { name: "mail", times: 6, bytes: 12_000 },
  { name: "analytics", times: 3, bytes: 900_000 },
] as const;

/** The pictures of docs/console.md: made when they are asked for, so that they show what there is. */
describe.skipIf(!isAsked || missing !== undefined)("pictures of the console", () => {
  const console = consoleOfFile();

  test("show the overview, a denial explained and a cluster", async () => {
    const { mine } = console();
    const apps = await furnish(console());
    const { page, complaints } = await console().signedIn("system_admin");
    await page.setViewportSize({ width: 1280, height: 1080 });
    await mkdir(projectPath("docs", "console"), { recursive: true });
    const take = (name: string) =>
      page.screenshot({ path: projectPath("docs", "console", `${name}.png`), scale: "css" });

    await page.reload();
    await page.getByText("Live", { exact: true }).waitFor();
    const chart = page.getByRole("img", { name: /^Operations/ });
    const gateway = console().database.as("rate_limiter_app");
    for (let round = 1; round <= 16; round += 1) {
      const before = await chart.getAttribute("aria-label");
      for (const [index, { times, bytes }] of traffic.entries()) {
        const many = Math.round(times * (1 + Math.sin(round / 2 + index) / 2));
        for (let done = 0; done < many; done += 1) {
          await gateway`select from rate_limiter.consume(${apps[index] ?? ""}, 'read_medium', ${bytes})`;
        }
      }
      await eventually(async () => {
        expect(await chart.getAttribute("aria-label")).not.toBe(before);
      });
    }
    await take("overview");

    await page.goto(`/clusters/${mine.clusterId}`);
    await page
      .getByRole("img", { name: /reserved/ })
      .first()
      .waitFor();
    await page.getByText("Live", { exact: true }).waitFor();
    await take("cluster");

    await gateway`select from rate_limiter.consume(${apps[0] ?? ""}, 'read_large', 90000000)`;
    await page.goto(`/applications/${apps[0]}?operation=read_large&size=150MB`);
    await page.getByText(/^(No|Yes)\./).waitFor();
    await page.getByText("Live", { exact: true }).waitFor();
    await take("application");
    expect(complaints).toEqual([]);
  });
});

/** Applications with names of their own, on a cluster that has room for them. */
async function furnish({ database, mine }: ConsoleWorld): Promise<string[]> {
  const { sql } = database;
  await sql`
    update rate_limiter.clusters as c
    set name = case c.cluster_id when ${mine.clusterId} then 'objects-1' else 'objects-2' end
  `;
  await sql`
    select rate_limiter_internal.publish_quota_at(
      now(), null, ${mine.clusterId}, 'enforce', null, null,
      '{"iops_limit": 1000, "iops_burst": 2000, "burst_duration_seconds": 10,
        "refill_rate": 1000}',
      '{"bandwidth_limit_bps": 200000000, "bandwidth_burst_bps": 400000000,
        "burst_duration_seconds": 10, "refill_rate_bps": 200000000}',
      'what the disks can do'
    )
  `;
  const apps: string[] = [];
  for (const [index, { name }] of traffic.entries()) {
    const [row] = await sql<{ appId: string }[]>`
      insert into rate_limiter.applications (tenant_id, cluster_id, name)
      values (${mine.tenantId}, ${mine.clusterId}, ${name}) returning app_id as "appId"
    `;
    const appId = row?.appId ?? "";
    await sql`
      select rate_limiter_internal.publish_quota_at(
        now(), ${appId}, null, 'enforce', null, null,
        '{"iops_limit": 100, "iops_burst": 200, "burst_duration_seconds": 5, "refill_rate": 100}',
        '{"bandwidth_limit_bps": 20000000, "bandwidth_burst_bps": 40000000,
          "burst_duration_seconds": 5, "refill_rate_bps": 20000000}',
        'launch'
      )
    `;
    await sql`
      insert into rate_limiter.reservations (app_id, cluster_id, reserved_iops, reserved_bps)
      values (${appId}, ${mine.clusterId}, ${150 - index * 30}, ${20_000_000 + index * 9_000_000})
    `;
    apps.push(appId);
  }
  return apps;
}
