import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { projectPath } from "../../src/paths.ts";
import { freePort } from "../../src/postgres/free-port.ts";
import { runInProcess } from "../cli/in-process.ts";
import { eventually } from "../harness/eventually.ts";
import { createDatabase } from "../harness/index.ts";

const run = promisify(execFile);
const tour = readFileSync(projectPath("docs/tour.md"), "utf8");
const blocks = (language: string) =>
  [...tour.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, "gm"))].map(
    ([, text = ""]) => text,
  );

/** What a reader types after `npx storage-qos start`, which test/start and test/cli/signals run. */
const typed = blocks("sh")
  .flatMap((block) => block.trim().split("\n"))
  .map((line) => line.replace(/ +#.*$/, ""));

const database = await createDatabase();
vi.stubEnv("DATABASE_URL", database.url);
vi.stubEnv("QOS_OPERATOR", "");
const folder = mkdtempSync(join(tmpdir(), "storage-qos-tour-"));
const file = join(folder, "qos.yaml");
const keys: string[] = [];
const variables = new Map<string, string>();

beforeAll(async () => {
  await createAdministrator(database.sql);
  writeFileSync(file, blocks("yaml")[0] ?? "");
  await startStore();
});
afterAll(async () => {
  if (store?.exitCode === null) {
    store.kill();
    await once(store, "exit");
  }
  rmSync(folder, { recursive: true });
});

const port = await freePort();
let store: ChildProcess | undefined;
let complaints = "";

/** What the page has its reader start in another terminal. */
async function startStore(): Promise<void> {
  const program = join(folder, "store.mjs");
  writeFileSync(program, atPort(blocks("js")[0] ?? ""));
  const modules = projectPath("test/docs/tour-modules.mjs");
  store = spawn(process.execPath, ["--import", modules, program], {
    cwd: folder,
    env: { ...process.env, DATABASE_URL: database.urlAs("rate_limiter_app") },
    stdio: ["ignore", "ignore", "pipe"],
  });
  store.stderr?.on("data", (data) => {
    complaints += data;
  });
  await eventually(async () => {
    expect({ code: store?.exitCode, complaints }).toEqual({ code: null, complaints: "" });
    await fetch(`http://127.0.0.1:${port}/photos`);
  });
}

function atPort(text: string): string {
  return text.replaceAll("9000", String(port));
}

/** What is a command of others, by a shell. */
async function typeInShell(line: string) {
  const env = { ...process.env, ...Object.fromEntries(variables) };
  const { stdout, stderr } = await run("sh", ["-c", atPort(line)], { cwd: folder, env });
  return { code: 0, stdout, stderr };
}

/** As a shell does: variables, quotes, and what is piped into a command. */
async function type(line: string) {
  if (!line.includes("storage-qos")) return typeInShell(line);
  const [, piped, command = ""] = /^(?:echo "(.*)" \| )?(.*)$/.exec(line) ?? [];
  const input = join(folder, "stdin.yaml");
  if (piped !== undefined) writeFileSync(input, `${piped}\n`);
  const words = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare = ""]) => {
    if (quoted !== undefined) return quoted;
    if (bare === "qos.yaml") return file;
    if (bare === "-" && piped !== undefined) return input;
    return bare.replace(/^\$(\w+)$/, (_, name: string) => variables.get(name) ?? "");
  });
  const [program, ...args] = words;
  expect(program).toBe("storage-qos");
  return runInProcess(...args);
}

/** What the page says of a line, by its beginning; the others end with 0. */
const told: readonly (readonly [string, { readonly code: number; readonly says: RegExp }])[] = [
  ["storage-qos doctor", { code: 5, says: /critical +workers +none runs/ }],
  ["storage-qos diff", { code: 3, says: /created: \d, updated: \d/ }],
  ["storage-qos consume write_large", { code: 3, says: /denied/ }],
  ["head", { code: 0, says: /^$/ }],
  ["curl -sS -T photo", { code: 0, says: /^$/ }],
  ['curl -s -o answer -w "%{http_code}\\n" -T photo', { code: 0, says: /\d 429\n$/ }],
  ['curl -s -o answer -w "%{http_code}\\n" -H', { code: 0, says: /^ *10 200\n$/ }],
  ['curl -s "http', { code: 0, says: /"status":401/ }],
  ["storage-qos top", { code: 0, says: /noisy\/batch .*\n.*quiet\/ledger/ }],
  ["storage-qos ledger", { code: 0, says: /explains every token/ }],
];

/** Though the session of the command is over. */
async function expectCounted(denied: number): Promise<void> {
  const [row] = await database.sql`
    select sum(d.operations)::integer as denied from rate_limiter.v_denial_counts as d
  `;
  expect(row).toEqual({ denied });
}

describe("every command of the tour", () => {
  test("is found in it", () => {
    expect(typed.length).toBeGreaterThan(15);
    for (const [start] of told) expect(typed.join("\n")).toContain(start);
  });

  test.each(typed.map((line) => [line]))("%s", async (line) => {
    const variable = /^export (\w+)=qos_…$/.exec(line)?.[1];
    if (variable !== undefined) {
      variables.set(variable, keys.shift() ?? "");
      expect(variables.get(variable)).toMatch(/^qos_/);
      return;
    }
    const { code, says } = told.find(([start]) => line.startsWith(start))?.[1] ?? {
      code: 0,
      says: /\w/,
    };
    const answer = await type(line === "storage-qos top" ? `${line} --interval 1s` : line);
    expect({ line, code: answer.code, stderr: answer.stderr }).toEqual({ line, code, stderr: "" });
    expect(answer.stdout).toMatch(says);
    if (line.startsWith("storage-qos consume write_large")) {
      await expectCounted(Number(/(\d+) denied/.exec(answer.stdout)?.[1]));
    }
    keys.push(...(/^api_key: (\S+)/m.exec(answer.stdout)?.slice(1) ?? []));
  });

  test("leaves nothing of it in force", async () => {
    const left = await database.sql`
      select from rate_limiter.tenants where is_active and name in ('noisy', 'quiet')
    `;
    expect(left).toHaveLength(0);
  });
});
