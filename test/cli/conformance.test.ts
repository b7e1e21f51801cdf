import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { createApiDatabase, givePasswords, serveApi } from "../api/api.ts";
import { runInProcess } from "./in-process.ts";
import { lives } from "./lives.ts";
import type { CliAnswer } from "./run-cli.ts";

const database = await createApiDatabase();
const { sql } = database;
const api = await serveApi(database);
const folder = mkdtempSync(join(tmpdir(), "storage-qos-conformance-"));
const file = join(folder, "qos.yaml");
let token = "";

vi.stubEnv("QOS_OPERATOR", "");
vi.stubEnv("XDG_CONFIG_HOME", folder);
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(async () => {
  const { email, tenant } = await createAdministrator(sql);
  await sql`delete from rate_limiter_private.user_secrets`;
  await givePasswords(database);
  token = (await api.signIn(email, undefined, tenant)).accessToken;
});

function byApi() {
  vi.stubEnv("QOS_URL", api.url);
  vi.stubEnv("QOS_TOKEN", token);
  vi.stubEnv("DATABASE_URL", "");
}

function byDatabase() {
  vi.stubEnv("QOS_URL", "");
  vi.stubEnv("DATABASE_URL", database.url);
}

/** What a command says by the one and by the other. */
async function both(...args: readonly string[]): Promise<[CliAnswer, CliAnswer]> {
  byDatabase();
  const ofDatabase = await runInProcess(...args);
  byApi();
  return [ofDatabase, await runInProcess(...args)];
}

describe("by the API", () => {
  const created = lives.map(([kind, name, first, then]) => [kind, name, first, then] as const);

  test.each(created)(
    "%s %s is made and changed as by the database",
    async (kind, name, first, then) => {
      byApi();
      const made = await runInProcess("create", kind, name, ...first);
      expect(made).toEqual({ code: 0, stderr: "", stdout: `${kind} ${name} was created\n` });
      const changed = await runInProcess("set", kind, name, ...then);
      expect(changed).toEqual({ code: 0, stderr: "", stdout: `${kind} ${name} was changed\n` });
      const [ofDatabase, ofApi] = await both("describe", kind, name);
      expect(ofApi).toEqual(ofDatabase);
      expect(ofApi.code).toBe(0);
    },
  );

  test("a key is made, and decides", async () => {
    byApi();
    const made = await runInProcess("create", "key", "acme/photos", "name=gateway");
    const [, key = ""] = /^api_key: (qos_\S+) {2}\(shown this once\)$/m.exec(made.stdout) ?? [];
    expect(made.stderr).toBe("");
    const [known] = await sql`select rate_limiter.application_of_key(${key}) is not null as works`;
    expect(known).toEqual({ works: true });
    for (let asked = 0; asked < 2; asked++) {
      await sql`select rate_limiter.consume_with_key(${key}, 'read_medium', 65536)`;
    }
    const [ofDatabase, ofApi] = await both("get", "keys", "-o", "json");
    expect(ofApi).toEqual(ofDatabase);
    expect(JSON.parse(ofApi.stdout)).toHaveLength(1);
  });

  test("a setting is changed", async () => {
    byApi();
    const changed = await runInProcess("set", "setting", "default_burst_duration", "value=7");
    expect(changed).toMatchObject({ code: 0, stderr: "" });
  });

  test.each([
    ["get", "tenants"],
    ["get", "clusters", "-o", "yaml"],
    ["get", "apps"],
    ["get", "quotas", "-o", "json"],
    ["get", "keys"],
    ["get", "users", "-o", "json"],
    ["get", "settings", "-o", "json"],
    ["get", "setting", "default_burst_duration"],
    ["get", "alerts"],
    ["get", "roles"],
    ["describe", "tenant", "acme"],
    ["usage", "acme/photos", "--json"],
    ["usage", "acme/photos", "--by", "day"],
    ["export"],
    ["export", "--managed-by", "nothing"],
    ["get", "tenant", "nowhere"],
    ["create", "tenant", "acme"],
    ["create", "quota", "a/b", "operations=1/s"],
    ["create", "quota", "acme/photos", "operations=1/s", "bandwidth=5"],
    ["create", "user", "nowhere/ann@example.org"],
    ["set", "setting", "default_burst_duration", "value=much"],
    ["why", "acme/photos", "reed"],
    ["why", "acme/nothing", "head"],
    ["usage", "acme/nothing"],
  ])("%s %s %s %s says the same", async (...args) => {
    const [ofDatabase, ofApi] = await both(...args.filter((arg) => arg !== undefined));
    expect(ofApi).toEqual(ofDatabase);
    expect(ofApi.stdout + ofApi.stderr).not.toBe("");
  });

  test("why says the same of what does not flow", async () => {
    const rows = async (answer: CliAnswer) =>
      answer.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
        // What has flowed in meanwhile.
        .map(({ tokens, passes_at, ...others }) => ({ ...others, isDue: passes_at !== null }));
    const [ofDatabase, ofApi] = await both("why", "acme/photos", "read_large", "64MiB", "--json");
    expect(await rows(ofApi)).toEqual(await rows(ofDatabase));
    expect(ofApi.stdout).toContain('"bucket":"iops_l2"');
  });

  test("a file is compared, rehearsed, refused and applied", async () => {
    writeFileSync(file, "tenants: {other: {applications: {a: {cluster: nowhere}}}}");
    const refused = await both("apply", "-f", file);
    expect(refused[1]).toEqual(refused[0]);
    expect(refused[1].stderr).toMatch(/qos\.yaml:1:\d+: .*unknown cluster \(QS404\)/);
    writeFileSync(
      file,
      "tenants: {other: {applications: {a: {cluster: fra-1, quota: {operations: 5/s}}}}}",
    );
    const compared = await both("diff", "-f", file);
    expect(compared[1]).toEqual(compared[0]);
    expect(compared[1].code).toBe(3);
    const rehearsed = await both("apply", "-f", file, "--dry-run");
    expect(rehearsed[1]).toEqual(rehearsed[0]);
    expect(await sql`select from rate_limiter.tenants where name = 'other'`).toHaveLength(0);
    expect(await runInProcess("apply", "-f", file)).toMatchObject({ code: 0, stderr: "" });
    const again = await both("diff", "-f", file);
    expect(again[1]).toEqual(again[0]);
    expect(again[1].code).toBe(0);
    await sql`
      insert into rate_limiter_private.demand
      select
        shard_key, app_id, date_trunc('minute', now(), 'UTC') - interval '10 minutes', 'head', 13,
        false, gen_random_uuid(), 6000, 6000, 6000 * 4096, 100
      from rate_limiter.applications where name = 'a'
    `;
    writeFileSync(
      file,
      `tenants: {other: {applications: {a: {cluster: fra-1, quota: {
        operations: {limit: 2/s, method: leaky_bucket}, bandwidth: 1 MB/s}}}}}`,
    );
    const impact = await both("diff", "-f", file, "--impact", "--json");
    const [ofDatabase, ofApi] = impact.map(({ stdout }) => JSON.parse(stdout));
    expect(ofApi).toEqual(ofDatabase);
    expect(impact[1].stdout).toMatch(/"throttled_operations_least":"[1-9]/);
  });

  test("a thousand applications are within what the API takes", async () => {
    const names = Array.from({ length: 1000 }, (_, place) => `many-${place}`);
    const applications = names.map((name) => `${name}: {cluster: fra-1, quota: {operations: 5/s}}`);
    writeFileSync(file, `tenants: {big: {applications: {${applications.join(", ")}}}}`);
    const compared = await both("diff", "-f", file);
    expect(compared[1]).toEqual(compared[0]);
    expect(compared[1].stdout).toContain("many-999");
  });

  test.each([...lives].reverse().map(([kind, name]) => [kind, name]))(
    "%s %s ends",
    async (kind, name) => {
      byApi();
      const ended = await runInProcess("delete", kind, name, "--reason", "over");
      expect(ended).toMatchObject({ code: 0, stderr: "" });
      const [ofDatabase, ofApi] = await both("get", kind, name, "-o", "json");
      expect(ofApi).toEqual(ofDatabase);
    },
  );
});

describe("what stands in the way of the API is told", () => {
  afterEach(() => byApi());

  test.each([
    ["no token", { QOS_TOKEN: "" }, 1, /\(token_missing\)\nhint: /],
    ["a token that is none", { QOS_TOKEN: "nothing" }, 1, /\(QS401\)\nhint: /],
    ["an address that is none", { QOS_URL: "qos.example.org" }, 2, /\(api_url_invalid\)\nhint: /],
    [
      "nothing there",
      { QOS_URL: "http://127.0.0.1:9" },
      1,
      /does not answer: .*\(api_unreachable\)/,
    ],
  ])("%s", async (_, env, code, message) => {
    byApi();
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    const answer = await runInProcess("get", "tenants");
    expect({ code: answer.code, stdout: answer.stdout }).toEqual({ code, stdout: "" });
    expect(answer.stderr).toMatch(message);
  });

  test("something else that answers there", async () => {
    const page = createServer((_, response) => response.end("<html></html>"));
    await once(page.listen(0, "127.0.0.1"), "listening");
    onTestFinished(() => void page.close());
    byApi();
    vi.stubEnv("QOS_URL", `http://127.0.0.1:${(page.address() as AddressInfo).port}`);
    const { code, stderr } = await runInProcess("get", "tenants");
    expect(code).toBe(1);
    expect(stderr).toMatch(/is not the admin API \(api_not_found\)\nhint: /);
  });

  test("--as, which the token says already", async () => {
    byApi();
    expect(await runInProcess("get", "tenants", "--as", "a@b.example")).toMatchObject({ code: 2 });
  });
});
