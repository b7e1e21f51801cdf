import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { commandGroups, developmentHeading } from "../../src/cli/command-groups.ts";
import { projectPath } from "../../src/paths.ts";
import { freePort } from "../../src/postgres/free-port.ts";
import { eventually } from "../harness/eventually.ts";
import { createDatabase } from "../harness/index.ts";
import { runCli } from "./run-cli.ts";

const commands = namesIn("commands");
const all = [...commands, ...namesIn("development")];

function namesIn(folder: string): string[] {
  return readdirSync(projectPath("src/cli", folder)).map((file) => file.split(".")[0] ?? "");
}

describe("the command line", () => {
  test("lists every command, and says what it does", async () => {
    const { code, stdout } = await runCli(["--help"]);
    expect(code).toBe(0);
    for (const name of all) expect(stdout).toMatch(new RegExp(`^  ${name}\\b.* \\w+`, "m"));
  });

  test("has each command under one heading, and no heading of its own for the rest", async () => {
    expect(Object.values(commandGroups).flat().sort()).toEqual([...commands].sort());
    const { stdout } = await runCli(["--help"]);
    const headings = [...stdout.matchAll(/^\w.*:$/gm)].map(([heading]) => heading);
    expect(headings).toEqual(["Options:", ...Object.keys(commandGroups), developmentHeading]);
  });

  test("suggests what was meant", async () => {
    const { code, stdout, stderr } = await runCli(["migrat"]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain("Did you mean migrate?");
  });
});

test("the project may lie in a folder of any name", async () => {
  const folder = mkdtempSync(join(tmpdir(), "it's #1 %41 a?b "));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const part of ["src", "package.json"]) {
    cpSync(projectPath(part), join(folder, part), { recursive: true });
  }
  // As a package leaves it out.
  rmSync(join(folder, "src/cli/development"), { recursive: true });
  symlinkSync(projectPath("node_modules"), join(folder, "node_modules"));
  const { code, stderr, stdout } = await runCli(["--help"], {}, join(folder, "src/cli/main.ts"));
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).not.toMatch(/Development|test-changes|torture/);
});

test("a reader that closes the pipe early is not an error", async () => {
  const main = projectPath("src/cli/main.ts");
  const child = spawn(process.execPath, [main, "--help"], { stdio: ["ignore", "pipe", "pipe"] });
  child.stdout.destroy();
  const stderr = text(child.stderr);
  expect(await once(child, "exit")).toEqual([0, null]);
  expect(await stderr).toBe("");
});

describe("the commands that need a database", () => {
  test("say so when none is named", async () => {
    const { code, stderr } = await runCli(["migrate"], { DATABASE_URL: "" });
    expect(code).toBe(1);
    expect(stderr).toBe(
      "error: DATABASE_URL is not set (database_url_missing)\n" +
        "hint: Set it to a connection URL such as postgres://login:password@host:5432/database.\n",
    );
  });

  test("say so when it is not a URL, and do not repeat it", async () => {
    const { code, stderr } = await runCli(["migrate"], { DATABASE_URL: "host=x password=secret" });
    expect(code).toBe(1);
    expect(stderr).toContain("(database_url_invalid)");
    expect(stderr).not.toContain("secret");
  });

  test.each([
    ["api", "API_DATABASE_URL"],
    ["worker", "WORKER_DATABASE_URL"],
  ])("%s says so of its own database", async (command, variable) => {
    const { code, stderr } = await runCli([command], { [variable]: "secret" });
    expect(code).toBe(1);
    expect(stderr).toMatch(`error: ${variable} is not a connection URL (database_url_invalid)`);
    expect(stderr).not.toContain("secret");
  });

  test("take an empty LOG_LEVEL for none, and refuse an unknown one", async () => {
    const env = { DATABASE_URL: "none" };
    const usual = await runCli(["worker"], { ...env, LOG_LEVEL: "" });
    expect(usual.stderr).toContain("(database_url_invalid)");
    const { code, stderr } = await runCli(["worker"], { ...env, LOG_LEVEL: "loud" });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: invalid LOG_LEVEL: none of .*: loud \(setting_invalid\)\n$/);
  });

  test("say so when no server answers, without a stack", async () => {
    const url = `postgres://login:secret@127.0.0.1:${await freePort()}/none`;
    const { code, stderr } = await runCli(["migrate"], { DATABASE_URL: url });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: the database does not answer: .*\nhint: .*\n$/);
    expect(stderr).not.toContain("secret");
  });

  test("say so when it goes in the middle of a statement", async () => {
    const database = await createDatabase();
    const { sql } = await database.session("locking");
    await sql`begin`;
    await sql`lock table rate_limiter_private.api_keys`;
    const running = runCli(["consume", "head", "--key", "qos_unknown"], {
      DATABASE_URL: database.url,
    });
    await eventually(async () => {
      const killed = await database.sql`
        select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
      `;
      expect(killed.length).toBeGreaterThan(0);
    });
    const { code, stderr } = await running;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: the database does not answer: .*\nhint: .*\n$/);
  });
});
