import { beforeAll, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { resources } from "../../src/resources/resources.ts";
import { createDatabase } from "../harness/index.ts";
import { runInProcess } from "./in-process.ts";
import { lives } from "./lives.ts";

const database = await createDatabase();
const { sql } = database;
vi.stubEnv("DATABASE_URL", database.url);
vi.stubEnv("QOS_OPERATOR", "");

beforeAll(async () => {
  await createAdministrator(sql);
});

describe("one object of each kind", () => {
  test("has a life here", () => {
    const told = [...lives.map(([kind]) => kind), "key", "service-token", "setting"];
    expect(resources.map(({ name }) => name).sort()).toEqual(told.sort());
  });

  test.each(lives)("%s %s is made, changed and described", async (kind, name, first, then, is) => {
    const made = await runInProcess("create", kind, name, ...first);
    expect(made).toEqual({ code: 0, stderr: "", stdout: `${kind} ${name} was created\n` });
    const changed = await runInProcess("set", kind, name, ...then);
    expect(changed).toEqual({ code: 0, stderr: "", stdout: `${kind} ${name} was changed\n` });
    const described = await runInProcess("describe", kind, name);
    expect(parse(described.stdout)).toMatchObject(is);
  });

  test("a tenant is described with all that is in it", async () => {
    const { stdout } = await runInProcess("describe", "tenant", "acme");
    const { photos } = parse(stdout).applications;
    expect(Object.keys(photos)).toEqual(
      expect.arrayContaining(["quota", "reservation", "costs", "alerts"]),
    );
  });

  test("is not made twice", async () => {
    const { code, stderr } = await runInProcess("create", "tenant", "acme");
    expect(code).toBe(2);
    expect(stderr).toContain("tenant acme exists already (exists_already)");
  });

  test("is refused without a place in a file, of which there is none", async () => {
    const args = ["create", "application", "acme/lost", "cluster=nowhere"];
    const { code, stderr } = await runInProcess(...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^error: application acme\/lost: unknown cluster .*\(change_refused\)\n/,
    );
  });

  test("is listed for people and for programs", async () => {
    const table = await runInProcess("get", "apps");
    expect(table.stdout).toMatch(/^tenant +application +cluster +metadata\nacme +photos +fra-1 +/);
    const json = await runInProcess("get", "applications", "-o", "json");
    const row = { tenant: "acme", application: "photos", cluster: "fra-1", metadata: { tier: 2 } };
    expect(JSON.parse(json.stdout)).toEqual([row]);
  });

  test("a key is shown once, and revoked", async () => {
    const made = await runInProcess("create", "key", "acme/photos", "name=gateway");
    const [, key = ""] = /^api_key: (qos_\S+) {2}\(shown this once\)$/m.exec(made.stdout) ?? [];
    const listed = await runInProcess("get", "keys", "-o", "yaml");
    expect(listed.stdout).not.toContain(key);
    const prefix = key.slice(0, 12);
    expect(parse(listed.stdout)).toMatchObject([{ prefix, name: "gateway" }]);
    const [known] = await sql`select rate_limiter.application_of_key(${key}) is not null as works`;
    expect(known).toEqual({ works: true });
    const deleted = await runInProcess("delete", "key", `acme/photos/${prefix}`);
    expect(deleted.stdout).toBe(`key acme/photos/${prefix} was revoked\n`);
    await expect(sql`select rate_limiter.application_of_key(${key})`).rejects.toThrow(/revoked/);
  });

  test("a token of a service account is shown once, and revoked", async () => {
    const account = ["acme/deploy", "permissions=[quota:read]"];
    const missing = await runInProcess("create", "service-token", ...account);
    expect(missing).toMatchObject({ code: 2, stdout: "" });
    const end = `expires_at=${new Date(Date.now() + 3_600_000).toISOString()}`;
    const made = await runInProcess("create", "service-token", ...account, end);
    const [, token = ""] = /^token: (qst_\S+) {2}\(shown this once\)$/m.exec(made.stdout) ?? [];
    const listed = await runInProcess("get", "service-tokens", "-o", "yaml");
    expect(listed.stdout).not.toContain(token);
    const prefix = token.slice(0, 12);
    expect(parse(listed.stdout)).toMatchObject([{ prefix, permissions: ["quota:read"] }]);
    const works = () => sql`
      select user_id is not null as works from rate_limiter_private.use_service_token(${token})
    `;
    expect(await works()).toEqual([{ works: true }]);
    const deleted = await runInProcess("delete", "service-token", `acme/deploy/${prefix}`);
    expect(deleted.stdout).toBe(`service-token acme/deploy/${prefix} was revoked\n`);
    expect(await works()).toEqual([{ works: false }]);
  });

  test("a setting is changed, and none can be made", async () => {
    expect(await runInProcess("set", "setting", "default_burst_duration", "value=7")).toMatchObject(
      { code: 0 },
    );
    const { stdout } = await runInProcess("get", "setting", "default_burst_duration", "-o", "json");
    expect(JSON.parse(stdout)).toMatchObject({ value: "7", type: "integer" });
    const tooMuch = await runInProcess("set", "setting", "lease_max_share", "value=5");
    expect(tooMuch.code).toBe(2);
    expect(tooMuch.stderr).toContain("setting value does not fit (QS422)");
    const { code, stderr } = await runInProcess("create", "setting", "mine", "value=1");
    expect(code).toBe(2);
    expect(stderr).toContain("(kind_unfit)");
  });

  test.each([...lives].reverse())("%s %s ends", async (kind, name) => {
    const ended = await runInProcess("delete", kind, name, "--reason", "over");
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    const stays = ["cluster", "tenant", "application", "alert", "default-alert"].includes(kind);
    const after = await runInProcess("get", kind, name, "-o", "json");
    if (stays) expect(JSON.parse(after.stdout)).toMatchObject({ active: false });
    else expect(after.code).toBe(4);
  });
});

describe("what is wrong is told, and changes nothing", () => {
  test.each([
    [["get", "planets"], 2, "unknown kind: planets (kind_unknown)"],
    [["get", "tenents"], 2, "unknown kind: tenents (Did you mean tenants?) (kind_unknown)"],
    [["create", "-x"], 2, "unknown option '-x'"],
    [["get", "quota", "acme"], 2, "invalid quota name: acme (name_invalid)"],
    [["get", "tenant", "nowhere"], 4, "no tenant nowhere (not_found)"],
    [["set", "tenant", "nowhere", "description=x"], 4, "no tenant nowhere (not_found)"],
    [["delete", "tenant", "nowhere"], 4, "no tenant nowhere (not_found)"],
    [
      ["create", "tenant", "x", "colour=red"],
      2,
      "unknown key colour: known are description, default_alerts, active",
    ],
    [["create", "quota", "a/b", "operations=5 MB/s"], 2, "operations is not a rate such as 500/s"],
    [["create", "quota", "a/b", "operations"], 2, "invalid assignment: operations"],
    [["create", "quota", "a/b", "operations=1/s"], 2, "unknown application (QS404)"],
  ])("%j", async (args, code, message) => {
    const answer = await runInProcess(...args);
    expect({ code: answer.code, stdout: answer.stdout }).toEqual({ code, stdout: "" });
    expect(answer.stderr).toContain(message);
  });
});
