import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { runInProcess } from "../cli/in-process.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const { sql } = database;
vi.stubEnv("DATABASE_URL", database.url);
vi.stubEnv("QOS_OPERATOR", "");
const folder = mkdtempSync(join(tmpdir(), "storage-qos-impact-"));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, "qos.yaml");

const quotas = (limits: Readonly<Record<string, number>>) => {
  const applications = Object.entries(limits).map(
    ([name, limit]) =>
      `      ${name}: {cluster: fra-1, quota: {operations: {limit: ${limit}/s, burst_for: 1 s}}}\n`,
  );
  writeFileSync(
    file,
    "clusters: {fra-1: {region: eu, capacity: 100k/s}}\n" +
      `tenants:\n  acme:\n    applications:\n${applications.join("")}`,
  );
};

beforeAll(async () => {
  await createAdministrator(sql);
  quotas({ photos: 100, idle: 100 });
  expect(await runInProcess("apply", "-f", file)).toMatchObject({ code: 0 });
  // 60 operations of one token in each second of two minutes, a tenth of them denied.
  await sql`
    insert into rate_limiter_private.demand
    select
      a.shard_key, a.app_id, date_trunc('minute', now(), 'UTC') - m.ago * interval '1 minute',
      'head', 0, d.is_denied, gen_random_uuid(), 60 * d.each, 60 * d.each, 0, d.each
    from rate_limiter.applications as a
    cross join (values (10), (11)) as m (ago)
    cross join (values (true, 6), (false, 54)) as d (is_denied, each)
    where a.name = 'photos'
  `;
});

test("impact tells who would have been throttled, before and after", async () => {
  quotas({ photos: 30, idle: 50, new: 50 });
  const { code, stdout } = await runInProcess("diff", "-f", file, "--impact");
  expect(code).toBe(3);
  expect(stdout).toMatch(/^application +operations +throttled_before +throttled_after/m);
  // Of 7,200 at most 3,600 flow in, and 30 were there.
  expect(stdout).toMatch(/^acme\/photos +7200 +10 % +49\.5 % to [\d.]+ % /m);
  expect(stdout).toMatch(/^acme\/idle +nothing on record/m);
  expect(stdout).toMatch(/^acme\/new +nothing on record/m);
});

test("impact of limits that are high enough is none", async () => {
  quotas({ photos: 500, idle: 100 });
  const { stdout } = await runInProcess("diff", "-f", file, "--impact");
  expect(stdout).toMatch(/^acme\/photos +7200 +10 % +0 % /m);
  expect(stdout).not.toContain("acme/idle");
});

test("impact is exact as JSON, with its change", async () => {
  quotas({ photos: 30, idle: 50 });
  const { stdout } = await runInProcess("diff", "-f", file, "--impact", "--json");
  const changes = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const impactOf = (name: string) =>
    changes.find(({ kind, path }) => kind === "quota" && path[1] === name).impact;
  expect(impactOf("photos")).toMatchObject({
    ...{ recorded_minutes: 2, operations: "7200", throttled_operations_before: "720" },
    throttled_operations_least: "3570",
  });
  expect(impactOf("idle")).toBeNull();
});

test("impact says where no quota changes", async () => {
  quotas({ photos: 100, idle: 100 });
  const { code, stdout } = await runInProcess("diff", "-f", file, "--impact");
  expect(code).toBe(0);
  expect(stdout).toContain("no quota of an application changes");
});
