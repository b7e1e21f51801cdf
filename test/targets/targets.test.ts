import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeEach, expect, test, vi } from "vitest";
import { addProfile } from "../../src/targets/add-profile.ts";
import { apiTarget } from "../../src/targets/api-target.ts";
import { databaseUrlOr } from "../../src/targets/database-url.ts";
import { describeProfile } from "../../src/targets/profile.ts";
import { profilesPath } from "../../src/targets/profiles-file.ts";
import { runInProcess } from "../cli/in-process.ts";

const folder = mkdtempSync(join(tmpdir(), "storage-qos-profiles-"));
afterAll(() => rmSync(folder, { recursive: true }));

const api = { url: "https://qos.example.org", database: false };
const operators = { url: undefined, database: true };
const databaseUrl = "postgres://login:secret@db.example.org/qos";

beforeEach(() => {
  rmSync(join(folder, "storage-qos"), { recursive: true, force: true });
  for (const name of ["QOS_URL", "QOS_TOKEN", "QOS_PROFILE", "DATABASE_URL"]) vi.stubEnv(name, "");
  vi.stubEnv("XDG_CONFIG_HOME", folder);
});

async function addBoth(): Promise<void> {
  await addProfile(process.env, "production", api, Readable.from(["a-token\n"]));
  await addProfile(process.env, "operators", operators, Readable.from([`${databaseUrl}\n`]));
}

test("a profile is kept for its owner alone, and its secret is shown by no command", async () => {
  await addBoth();
  expect(statSync(profilesPath(process.env)).mode & 0o777).toBe(0o600);
  const listed = await runInProcess("profile", "list");
  expect(listed.stdout).toMatch(/^production +api +https:\/\/qos\.example\.org +yes$/m);
  expect(listed.stdout).toMatch(/^operators +database +postgres:\/\/db\.example\.org\/qos +no$/m);
  const json = await runInProcess("profile", "list", "--json");
  for (const secret of ["a-token", "secret"]) {
    expect(listed.stdout + json.stdout).not.toContain(secret);
  }
});

test("the first is in use, until another one is", async () => {
  await addBoth();
  expect(apiTarget()).toEqual({ url: api.url, token: "a-token" });
  expect(await runInProcess("profile", "use", "operators")).toMatchObject({ code: 0 });
  expect(apiTarget()).toBeUndefined();
  expect(databaseUrlOr("postgres")).toBe(databaseUrl);
});

test("what is named in the environment goes before it", async () => {
  await addBoth();
  vi.stubEnv("QOS_PROFILE", "operators");
  expect(databaseUrlOr("postgres")).toBe(databaseUrl);
  vi.stubEnv("DATABASE_URL", "postgres://other.example.org/qos");
  expect(databaseUrlOr("postgres")).toBe("postgres://other.example.org/qos");
  vi.stubEnv("QOS_PROFILE", "");
  expect(apiTarget()).toBeUndefined();
  vi.stubEnv("QOS_URL", "https://third.example.org");
  vi.stubEnv("QOS_TOKEN", "third");
  expect(apiTarget()).toEqual({ url: "https://third.example.org", token: "third" });
});

test("one that is removed leaves nothing of its secret", async () => {
  await addBoth();
  expect(await runInProcess("profile", "remove", "production")).toMatchObject({ code: 0 });
  expect(readFileSync(profilesPath(process.env), "utf8")).not.toContain("a-token");
  expect(apiTarget()).toBeUndefined();
});

test("a file that others may read is refused", async () => {
  await addBoth();
  chmodSync(profilesPath(process.env), 0o644);
  const { code, stderr } = await runInProcess("profile", "list");
  expect(code).toBe(1);
  expect(stderr).toMatch(/\(profiles_open\)\nhint: Run chmod 600 /);
});

test.each([
  [["use", "nowhere"], /no profile nowhere \(profile_unknown\)\nhint: /],
  [["remove", "nowhere"], /\(profile_unknown\)/],
  [["add", "a/b", "--url", "https://a.example"], /\(name_invalid\)/],
  [["add", "a"], /name either --url or --database \(bad_usage\)/],
  [["add", "a", "--url", "https://u:p@a.example"], /\(api_url_invalid\)/],
])("%j is refused", async (args, message) => {
  const answer = await runInProcess("profile", ...args);
  expect(answer).toMatchObject({ code: 2, stdout: "" });
  expect(answer.stderr).toMatch(message);
});

test("a profile without a secret is refused", async () => {
  const adding = addProfile(process.env, "empty", api, Readable.from([""]));
  await expect(adding).rejects.toMatchObject({ code: "secret_missing" });
});

test.each([
  ["postgres://me:secret@one:1,two:2/first?sslmode=require", "postgres://one:1,two:2/first"],
  [
    "postgres://me@/first?host=/run/postgresql&password=secret",
    "postgres:///first?host=%2Frun%2Fpostgresql",
  ],
])(
  "a profile of the database %s is shown as where it is, without what is secret",
  (database, address) => {
    expect(describeProfile({ database })).toBe(address);
  },
);
