import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { createDatabase } from "../harness/index.ts";
import { runInProcess } from "./in-process.ts";

const database = await createDatabase();
const { sql } = database;
vi.stubEnv("DATABASE_URL", database.url);
vi.stubEnv("QOS_OPERATOR", "");
const folder = mkdtempSync(join(tmpdir(), "storage-qos-inspect-"));
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(async () => {
  await createAdministrator(sql);
  const file = join(folder, "qos.yaml");
  writeFileSync(
    file,
    `clusters: {fra-1: {region: eu, quota: {operations: 1000/s}}}
tenants:
  noisy:
    applications:
      photos: {cluster: fra-1, quota: {operations: {limit: 1/s, burst: 4/s, burst_for: 1 s}}}
`,
  );
  expect(await runInProcess("apply", "-f", file)).toMatchObject({ code: 0 });
  const [app] = await sql<{ app_id: string }[]>`select app_id from rate_limiter.applications`;
  for (let asked = 0; asked < 6; asked++) {
    await sql`select rate_limiter.consume(${app?.app_id ?? null}, 'head', 0)`;
  }
});

test("why names the bucket that is short, and when it passes", async () => {
  const { code, stdout } = await runInProcess("why", "noisy/photos", "head");
  expect(code).toBe(0);
  expect(stdout).toMatch(
    /^layer +bucket +mode +verdict +charge +tokens +capacity +refill +debt +passes_at/,
  );
  expect(stdout).toMatch(/^ +2 +iops_l2 +enforce +.* 1\/s +0 /m);
  const unknown = await runInProcess("why", "noisy/nothing", "head");
  expect(unknown.code).toBe(4);
  expect(unknown.stderr).toContain("no application noisy/nothing (not_found)");
  const unnamed = await runInProcess("why", "noisy/photos", "reed");
  expect(unnamed.code).toBe(2);
  expect(unnamed.stderr).toMatch(/unknown operation reed.*\nhint: Operations are .*head/);
  const wrong = await runInProcess("why", "noisy/photos", "head", "much");
  expect(wrong).toMatchObject({ code: 2 });
});

test("usage tells what was used", async () => {
  const { code, stdout } = await runInProcess("usage", "noisy/photos", "--json");
  expect(code).toBe(0);
  const [hour] = await sql`
    select trim_scale(-sum(tokens_change))::text as tokens
    from rate_limiter.token_transactions where bucket_type = 'iops_l2' and transaction_type = 'consume'
  `;
  const tokens = stdout
    .trim()
    .split("\n")
    .map((line) => Number(JSON.parse(line).tokens));
  expect(tokens.reduce((sum, each) => sum + each, 0)).toBe(Number(hour?.tokens));
  expect(await runInProcess("usage", "noisy/photos", "--since", "soon")).toMatchObject({ code: 2 });
  expect(await runInProcess("usage", "noisy/nothing")).toMatchObject({ code: 4 });
});

test("top shows one table without a terminal", async () => {
  const { code, stdout } = await runInProcess("top", "--interval", "1s", "--once");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ {2}application +operations +bandwidth +layer 1 +admitted\/s/);
  expect(stdout).toMatch(/^ {2}noisy\/photos +[#.]{10} +\d+% +- +#{1,10}/m);
});

test("ledger verify says that all is explained, or where it is not", async () => {
  expect(await runInProcess("ledger", "verify")).toEqual({
    code: 0,
    stderr: "",
    stdout: "the ledger explains every token\n",
  });
  await sql`
    update rate_limiter.token_buckets set current_tokens = current_tokens + 1
    where bucket_type = 'iops_l2'
  `;
  const { code, stdout } = await runInProcess("ledger", "verify", "--since", "1h");
  expect(code).toBe(3);
  expect(stdout).toContain("the bucket does not hold what its last row says");
});
