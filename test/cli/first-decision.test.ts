import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { verifyPassword } from "../../src/api/passwords/password-hash.ts";
import { projectFolder } from "../../src/paths.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { localDatabaseName } from "../../src/start/local-database.ts";
import type { Parts } from "../../src/start/parts.ts";
import { type Product, start } from "../../src/start/start.ts";
import { version } from "../../src/version.ts";
import { createDatabase } from "../harness/index.ts";
import { runCli } from "./run-cli.ts";

const home = mkdtempSync(join(tmpdir(), "storage-qos-first-"));
chmodSync(home, 0o755);
const env = {
  QOS_DATA_FOLDER: join(home, "data"),
  API_PORT: "0",
  DATABASE_URL: "",
  QOS_API_KEY: "",
};

let api: Server;
let isReady = true;
let product: Product;
let beat: () => Promise<unknown>;

/** Stand for the API and the worker: what is tested is what commands find of them. */
const parts: Parts = {
  startApi: async () => {
    const { port } = api.address() as AddressInfo;
    return { name: "api", url: `http://127.0.0.1:${port}/`, stop: async () => {} };
  },
  startWorker: async ({ databaseUrl }) => {
    beat = () =>
      withConnection(
        databaseUrl,
        (sql) => sql`select rate_limiter_private.heartbeat_workers(array['this one'])`,
      );
    return { name: "worker", stop: async () => {} };
  },
};

beforeAll(async () => {
  api = createServer((_request, response) => response.writeHead(isReady ? 200 : 503).end());
  await new Promise<void>((resolve) => api.listen(0, "127.0.0.1", resolve));
  product = await start(env, parts);
});

afterAll(async () => {
  await product.stop();
  api.close();
  rmSync(home, { recursive: true });
});

const run = (...args: string[]) => runCli(args, env);

describe("storage-qos", () => {
  test("is a command of a clone, and runs by the project's own Node", () => {
    const output = execFileSync("npx", ["storage-qos", "--version"], {
      cwd: projectFolder,
      encoding: "utf8",
    });
    expect(output.trim()).toBe(version);
  });

  test("check and consume decide by the demo's key, without psql", async () => {
    const checked = await run("check", "read_medium", "64KiB", "--json");
    const consumed = await run("consume", "read_medium", "65536", "--json");
    const [before, taken] = [checked, consumed].map(({ stdout }) => JSON.parse(stdout));
    expect([checked.code, consumed.code]).toEqual([0, 0]);
    expect(before).toMatchObject({ allowed: 1, denied: 0, size_bytes: "65536" });
    expect(taken.decision).toMatchObject({ allowed: true, cost: before.decision.cost });
  });

  test("answers a denial with its reason, when to ask again, and a code of its own", async () => {
    const { code, stdout } = await run("consume", "read_large", "64MiB", "--times", "10");
    expect(code).toBe(3);
    expect(stdout).toMatch(/^operations: \d+ allowed, \d+ denied\nfirst denial: cost /);
    expect(stdout).toMatch(/^reason: (iops|bandwidth)_l[12]$/m);
    expect(stdout).toMatch(/^retry: after \d+ ms$/m);
  });

  test.each([
    [["consume", "read_big"], "unknown_operation", /Operations are .*read_medium/],
    [["consume", "read_medium", "64 Ki"], "size_invalid", /64KiB/],
    [["consume", "read_medium", "-1"], "size_invalid", /whole bytes/],
    [["check", "read_medium", "--times", "0"], "times_invalid", /1 to 100000/],
    [["consume", "read_medium", "--key", "qos_none"], "QS401", /Check the key/],
  ])("refuses %j with a hint", async (words, code, hint) => {
    const { code: exit, stderr, stdout } = await run(...words);
    expect({ stdout, isDenied: exit === 3 || exit === 0 }).toEqual({ stdout: "", isDenied: false });
    expect(stderr).toContain(`(${code})`);
    expect(stderr).toMatch(new RegExp(`^hint: .*${hint.source}`, "m"));
  });

  test("status tells again what the greeting told, and whether all is well", async () => {
    await beat();
    const well = await run("status");
    expect(well.code).toBe(0);
    expect(well.stdout).toMatch(/^ {2}Console and admin API +http:\S+ {2}ready$/m);
    expect(well.stdout).toMatch(/^ {2}Worker +runs$/m);
    expect(well.stdout).toMatch(/PostgreSQL 18\.\d+, schema up to date$/m);
    expect(well.stdout).toMatch(/^ {2}API key +qos_[\w-]{43}\n +of photos,/m);
    expect(well.stdout).toContain("admin@storage-qos.example");
    const passwords = readFileSync(join(env.QOS_DATA_FOLDER, "pgpass"), "utf8").trim().split("\n");
    for (const line of passwords) expect(well.stdout).not.toContain(line.split(":")[4]);

    isReady = false;
    const ill = await run("status", "--json");
    isReady = true;
    expect(ill.code).toBe(1);
    expect(JSON.parse(ill.stdout)).toMatchObject({ isWell: false, api: { health: "not ready" } });
  });

  test("reset-password gives an administrator a new password", async () => {
    const { code, stdout } = await run("reset-password", "admin@storage-qos.example");
    expect(code).toBe(0);
    const [, password = ""] = /password \(shown once\): (\S{20,})/.exec(stdout) ?? [];
    const passwords = readFileSync(join(env.QOS_DATA_FOLDER, "pgpass"), "utf8");
    const superuser = passwords.split("\n")[0]?.split(":")[4];
    const { stdout: json } = await run("status", "--json");
    const { port } = JSON.parse(json);
    const url = `postgres://postgres:${superuser}@127.0.0.1:${port}/${localDatabaseName}`;
    const hash = await withConnection(url, async (sql) => {
      const [row] = await sql`select password_hash as hash from rate_limiter_private.user_secrets`;
      return row?.hash;
    });
    expect(await verifyPassword(password, hash, 14)).toBe(true);

    const unknown = await run("reset-password", "none@storage-qos.example");
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain("(unknown_user)");
  });

  test("commands of operators find the same database", async () => {
    expect(await run("jobs", "failed")).toMatchObject({ code: 0 });
  });

  test("says that storage-qos start does not run where nothing is named", async () => {
    const nowhere = { ...env, QOS_DATA_FOLDER: join(home, "nothing") };
    const key = { ...nowhere, QOS_API_KEY: "qos_x" };
    const { code, stderr } = await runCli(["consume", "read_medium"], key);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /\(database_not_running\)\nhint: Run storage-qos start in another terminal/,
    );
    const status = await runCli(["status"], { ...nowhere, API_PORT: "1" });
    expect(status.code).toBe(1);
    expect(status.stdout).toMatch(/does not answer/);
    expect(status.stdout).toMatch(/storage-qos start does not run/);
  });

  test("decides in the database of DATABASE_URL, by a gateway's login or the owner's", async () => {
    const database = await createDatabase();
    const [row] = await database.sql<{ key: string }[]>`
      select rate_limiter_private.seed_demo() as key
    `;
    for (const url of [database.urlAs("rate_limiter_app"), database.url]) {
      const named = { DATABASE_URL: url, QOS_API_KEY: row?.key };
      const { code, stderr } = await runCli(["consume", "read_small", "1"], named);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    }
    const keyless = await runCli(["consume", "read_small"], { ...env, DATABASE_URL: database.url });
    expect(keyless.stderr).toContain("(api_key_missing)");
  });
});

test("the greeting stands alone: the log is in a file beside the data", () => {
  const log = readFileSync(join(env.QOS_DATA_FOLDER, "storage-qos.log"), "utf8");
  expect(log === "" || log.startsWith("{")).toBe(true);
  expect(product.greeting).toContain(env.QOS_DATA_FOLDER);
});
