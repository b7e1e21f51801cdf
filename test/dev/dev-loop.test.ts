import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { startDevLoop } from "../../src/dev/dev-loop.ts";
import { requireKnownHistory } from "../../src/migrations/require-known-history.ts";
import { projectPath } from "../../src/paths.ts";
import { createDatabase, eventually } from "../harness/index.ts";

const database = await createDatabase();

/** A copy of what the loop watches and rewrites: a test changes nothing of the project. */
const root = mkdtempSync(join(tmpdir(), "storage-qos-dev-"));
afterAll(() => rmSync(root, { recursive: true }));
cpSync(projectPath("db"), join(root, "db"), { recursive: true });
for (const folder of ["src", "tasks", "test"]) mkdirSync(join(root, folder));

const fixture = "is_bandwidth.sql";
const path = join(
  "db/fixtures",
  readdirSync(join(root, "db/fixtures"), { recursive: true, encoding: "utf8" }).find((name) =>
    name.endsWith(`/${fixture}`),
  ) ?? "",
);

function startLoop() {
  const printed: string[] = [];
  const runs: (readonly string[])[] = [];
  const loop = startDevLoop({
    ...{ url: database.url, root },
    runTests: async (files) => {
      runs.push(files);
      return true;
    },
    print: (line) => printed.push(line),
  });
  onTestFinished(() => loop.stop());
  return { printed, runs };
}

const save = (file: string, text: string) => writeFileSync(join(root, file), text);
const source = readFileSync(join(root, path), "utf8");

async function comment(): Promise<string> {
  const [row] = await database.sql`
    select obj_description(oid, 'pg_proc') as comment from pg_proc where proname = 'is_bandwidth'
  `;
  return row?.comment;
}

test("a function that is saved is applied, frozen into its chapter, and tested", async () => {
  const { printed, runs } = startLoop();
  save(
    path,
    source.replace(/ is\n? *'/, (start) => `${start}Changed on save. `),
  );
  await eventually(() => expect(printed).toEqual([`applied ${path}`, "tests passed"]));

  expect(await comment()).toMatch(/^Changed on save\. /);
  const chapters = readdirSync(join(root, "db/committed")).map((name) =>
    readFileSync(join(root, "db/committed", name), "utf8"),
  );
  expect(chapters.join("")).toContain("Changed on save.");
  expect(runs[0]).toContain("test/db/drift.test.ts");
  // The database still counts as migrated by these chapters.
  await requireKnownHistory(database.sql, join(root, "db"));
});

test("a function that PostgreSQL refuses is reported, and the next save is applied", async () => {
  const { printed, runs } = startLoop();
  save(path, "create or replace function nonsense;\n");
  await eventually(() => expect(printed.join("\n")).toContain("syntax error"));
  expect(runs).toEqual([]);
  save(path, source);
  await eventually(() => expect(printed.at(-1)).toBe("tests passed"));
  expect(await comment()).not.toMatch(/^Changed on save/);
});

test("a TypeScript file that is saved has its tests run, and nothing is applied", async () => {
  const { printed, runs } = startLoop();
  save("src/file.ts", "export {};\n");
  await eventually(() => expect(printed).toEqual(["tests passed"]));
  expect(runs).toEqual([["src/file.ts"]]);
});

test("npm run dev watches until it is interrupted", async () => {
  const own = await createDatabase();
  const child = spawn(process.execPath, [projectPath("src/cli/main.ts"), "dev"], {
    env: { ...process.env, DATABASE_URL: own.url },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [printed] = await once(child.stdout, "data");
  expect(String(printed)).toMatch(/^watching db\/fixtures/);
  child.kill("SIGINT");
  expect(await once(child, "exit")).toEqual([0, null]);
});
