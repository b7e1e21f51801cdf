import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { runCli } from "../cli/run-cli.ts";
import { makeTwoTenants } from "../data-model/world.ts";
import { createDatabase } from "../harness/index.ts";

const database = await createDatabase();
const { mine, theirs } = await makeTwoTenants(database);
const folder = mkdtempSync(join(tmpdir(), "qos-access-keys-"));
afterAll(() => rmSync(folder, { recursive: true }));

const run = (...args: string[]) => runCli(["access-keys", ...args], { DATABASE_URL: database.url });

async function importFile(text: string) {
  const path = join(folder, `${crypto.randomUUID()}.csv`);
  writeFileSync(path, text);
  return run("import", path);
}

async function applicationOf(id: string): Promise<string | undefined> {
  const [row] = await database.sql`
    select app_id, name, expires_at from rate_limiter_private.api_keys
    where key_hash = rate_limiter_internal.token_hash(${id})
  `;
  return row?.app_id;
}

describe("access-keys register", () => {
  test("makes an id of the storage a key of an application", async () => {
    const { code, stdout, stderr } = await run(
      ...["register", mine.appId, "AKIA1", "--name", "one", "--expires-at", "2100-01-01T00:00Z"],
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^registered as key [0-9a-f-]{36}\n$/);
    expect(await applicationOf("AKIA1")).toBe(mine.appId);
  });

  test("says what is refused, and not the id", async () => {
    const { code, stderr } = await run("register", mine.appId, "qos_secret_by_mistake");
    expect(code).toBe(2);
    expect(stderr).toContain("error: access key id does not fit (QS422)");
    expect(stderr).not.toContain("by_mistake");
    const unknown = await run("register", "00000000-0000-4000-8000-000000000000", "AKIA2");
    expect(unknown.stderr).toContain("error: unknown application (QS404)");
  });
});

describe("access-keys import", () => {
  test("registers what a file lists, quoted or not, and again without harm", async () => {
    const text = [
      "\ufeffapp_id,access_key_id,name,expires_at",
      `${mine.appId},AKIA10,,`,
      `${theirs.appId},AKIA11,"two, ""quoted""",2100-01-01T00:00:00Z`,
      "",
    ].join("\r\n");
    expect(await importFile(text)).toEqual({
      code: 0,
      stdout: "registered: 2, there already: 0\n",
      stderr: "",
    });
    expect((await importFile(text)).stdout).toBe("registered: 0, there already: 2\n");
    expect(await applicationOf("AKIA11")).toBe(theirs.appId);
    const [row] = await database.sql`
      select name from rate_limiter_private.api_keys where app_id = ${theirs.appId} and name <> ''
    `;
    expect(row?.name).toBe('two, "quoted"');
  });

  test("registers nothing of a file with lines that are refused, and names each line", async () => {
    await run("register", theirs.appId, "AKIAtheirs");
    const lines = Array.from({ length: 1_500 }, (_, place) => `AKIAmany${place},${mine.appId}`);
    lines[2] = `AKIAtheirs,${mine.appId}`;
    lines[1_200] = "AKIAx,none";
    const { code, stdout, stderr } = await importFile(`access_key_id,app_id\n${lines.join("\n")}`);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toBe(
      "line 4: access key id is already registered (QS409)\n" +
        "line 1202: access key entry is malformed (QS422)\n" +
        "error: 2 of 1500 access keys are refused: none was registered (access_keys_refused)\n" +
        "hint: Correct the lines that are named above, and import the file again.\n",
    );
    expect(await applicationOf("AKIAmany0")).toBeUndefined();
  });

  test.each([
    ["no header", "AKIA1,x", "access_keys_header"],
    ["a column that there is not", "access_key_id,app_id,secret", "access_keys_header"],
    ["a column twice", "access_key_id,app_id,app_id", "access_keys_header"],
    ["no access key", "access_key_id,app_id\n", "access_keys_count"],
    [
      "too many",
      `access_key_id,app_id\n${"AKIA,x\n".repeat(10_001)}`,
      "the file has 10001 access keys (access_keys_count)",
    ],
    ["a line too short", "access_key_id,app_id\nAKIA1", "line 2 does not have the 2 columns"],
    ["quotes that do not match", 'access_key_id,app_id\n"AKIA1,x', "(access_keys_bad_line)"],
  ])("refuses a file with %s, and repeats none of it", async (_, text, expected) => {
    const { code, stderr } = await importFile(text);
    expect(code).toBe(2);
    expect(stderr).toContain(expected);
    expect(stderr).not.toContain("AKIA1");
  });

  test("says where there is no file", async () => {
    const { code, stderr } = await run("import", join(folder, "none"));
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr:
        "error: the file cannot be read (ENOENT) (access_keys_unreadable)\n" +
        "hint: Check that the path names a file and that you may read it.\n",
    });
  });
});
