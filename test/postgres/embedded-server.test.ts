import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { withConnection } from "../../src/postgres/connect.ts";
import { dataFolderAt } from "../../src/postgres/data-folder.ts";
import { type EmbeddedServer, openEmbeddedServer } from "../../src/postgres/embedded-server.ts";
import { freePort } from "../../src/postgres/free-port.ts";
import { findPassword } from "../../src/postgres/pgpass.ts";
import { livePostmaster } from "../../src/postgres/postmaster.ts";

const home = mkdtempSync(join(tmpdir(), "storage-qos-embedded-"));
chmodSync(home, 0o755);
const env: NodeJS.ProcessEnv = { QOS_DATA_FOLDER: join(home, "data") };
const data = dataFolderAt(join(home, "data"));
const opened: EmbeddedServer[] = [];

async function open(more: NodeJS.ProcessEnv = {}): Promise<EmbeddedServer> {
  const server = await openEmbeddedServer({ ...env, ...more });
  opened.push(server);
  return server;
}

async function isGone(): Promise<boolean> {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (livePostmaster(data.cluster) === undefined) return true;
    await sleep(25);
  }
  return false;
}

beforeAll(async () => {
  const server = await open();
  await withConnection(server.url, (sql) => sql`create table kept as select 'data' as what`);
  await server.stop();
});

afterEach(async () => {
  for (let server = opened.pop(); server !== undefined; server = opened.pop()) await server.stop();
});

afterAll(() => rmSync(home, { recursive: true }));

/** The server itself, and the watcher that was given the same arguments. */
function processesOf(folder: string): string[] {
  const { stdout } = spawnSync("ps", ["-eo", "args", "-ww"], { encoding: "utf8" });
  return stdout.split("\n").filter((line) => line.includes(` -D ${folder} `));
}

/** A process that opens the server on the folder, says so, and stops it when it is told to. */
function openElsewhere(folder: string) {
  const module = (path: string) => JSON.stringify(pathToFileURL(projectPath(path)));
  const program = `
    import { openEmbeddedServer } from ${module("src/postgres/embedded-server.ts")};
    import { withConnection } from ${module("src/postgres/connect.ts")};
    const server = await openEmbeddedServer();
    await withConnection(server.url, (sql) => sql\`select\`);
    console.log(server.started);
    process.stdin.resume().once("end", () => server.stop());
  `;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    env: { ...process.env, QOS_DATA_FOLDER: folder, LOG_LEVEL: "silent" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  return { child, started: once(child.stdout, "data").then(([said]) => String(said).trim()) };
}

const readKept = (url: string) => withConnection(url, (sql) => sql`select what from kept`);

describe("the embedded server", () => {
  test("finds its data again at the next start", async () => {
    const server = await open();
    expect(server.started).toBe(true);
    expect(await readKept(server.url)).toEqual([{ what: "data" }]);
  });

  test("leaves no watcher behind that would kill another process under its number", async () => {
    const server = await open();
    expect(processesOf(data.cluster)).not.toEqual([]);
    await server.stop();
    await vi.waitFor(() => expect(processesOf(data.cluster)).toEqual([]), 30_000);
  });

  test("is used, and not stopped, by a second start on the same data", async () => {
    const first = await open();
    const second = await openEmbeddedServer(env);
    expect(second).toMatchObject({ started: false, port: first.port });
    await second.stop();
    expect(await readKept(first.url)).toEqual([{ what: "data" }]);
  });

  test("is made once, and used by both, when two start at once", async () => {
    const folder = join(home, "fresh");
    const both = [openElsewhere(folder), openElsewhere(folder)];
    const started = await Promise.all(both.map((one) => one.started));
    expect(started.sort()).toEqual(["false", "true"]);
    for (const { child } of both) child.stdin.end();
    await Promise.all(both.map(({ child }) => once(child, "exit")));
    expect(readdirSync(folder).sort()).toEqual(["pgdata", "pgpass", "postgres.log"]);
  });

  test.runIf(existsSync("/proc/self/cmdline"))(
    "keeps its password to the owner, off its command line and out of its log",
    async () => {
      const server = await open();
      const password = findPassword(data.passwords, "postgres") ?? "";
      expect(server.url).toContain(password);
      expect(password.length).toBeGreaterThan(20);
      const pid = livePostmaster(data.cluster)?.pid;
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      expect(command).toContain(data.cluster);
      expect(command).not.toContain(password);
      expect(readFileSync(data.log, "utf8")).not.toContain(password);
    },
  );

  test.each(["SIGKILL", "SIGTERM", "SIGINT"] as const)(
    "does not outlive a program that %s ends",
    async (signal) => {
      const script = join(home, "hold.ts");
      writeFileSync(
        script,
        `import { openEmbeddedServer } from ${JSON.stringify(
          projectPath("src/postgres/embedded-server.ts"),
        )};
         await openEmbeddedServer();
         console.log("ready");
         setInterval(() => {}, 1000);`,
      );
      const child = spawn(process.execPath, [script], {
        env: { ...process.env, ...env, LOG_LEVEL: "silent" },
        stdio: ["ignore", "pipe", "inherit"],
      });
      await once(child.stdout, "data");
      expect(livePostmaster(data.cluster)).toBeDefined();
      child.kill(signal);
      expect(await isGone()).toBe(true);
    },
  );
});

describe("errors that a person can act on are told:", () => {
  test("a busy port", async () => {
    const busy = createServer().listen(await freePort(), "127.0.0.1");
    await once(busy, "listening");
    const port = (busy.address() as { port: number }).port;
    await expect(open({ QOS_POSTGRES_PORT: String(port) })).rejects.toMatchObject({
      code: "port_in_use",
      hint: expect.stringContaining("QOS_POSTGRES_PORT"),
    });
    busy.close();
  });

  test.each(["0", "70000", "http"])("a port that is none: %s", async (port) => {
    await expect(open({ QOS_POSTGRES_PORT: port })).rejects.toMatchObject({
      code: "setting_invalid",
    });
  });

  test("a data folder that is a file", async () => {
    const file = join(home, "file");
    writeFileSync(file, "");
    await expect(open({ QOS_DATA_FOLDER: file })).rejects.toMatchObject({
      code: "data_folder_unusable",
      hint: expect.stringContaining("QOS_DATA_FOLDER"),
    });
  });

  test("data of another version", async () => {
    const version = join(data.cluster, "PG_VERSION");
    writeFileSync(version, "15\n");
    await expect(open()).rejects.toMatchObject({
      code: "data_folder_unusable",
      message: expect.stringContaining("made by PostgreSQL 15"),
    });
    writeFileSync(version, "18\n");
  });

  test("data without its passwords", async () => {
    const passwords = readFileSync(data.passwords);
    rmSync(data.passwords);
    await expect(open()).rejects.toMatchObject({ code: "data_folder_unusable" });
    writeFileSync(data.passwords, passwords, { mode: 0o600 });
  });
});

describe("the death of the server", () => {
  test("is followed by a new start on the same data", async () => {
    const server = await open();
    const before = livePostmaster(data.cluster)?.pid ?? 0;
    process.kill(before, "SIGKILL");
    await vi.waitFor(
      async () => {
        expect(livePostmaster(data.cluster)?.pid).not.toBe(before);
        const rows = await withConnection(server.url, (sql) => sql`select what from kept`);
        expect([...rows]).toEqual([{ what: "data" }]);
      },
      { timeout: 30_000, interval: 100 },
    );
    await server.stop();
    expect(await isGone()).toBe(true);
  });

  test("ends the process where the server does not start again", async () => {
    const script = `
      const { openEmbeddedServer } = await import(${JSON.stringify(pathToFileURL(projectPath("src/postgres/embedded-server.ts")))});
      const { livePostmaster } = await import(${JSON.stringify(pathToFileURL(projectPath("src/postgres/postmaster.ts")))});
      const { rmSync } = await import("node:fs");
      const server = await openEmbeddedServer();
      process.once("SIGTERM", () => process.exit());
      setInterval(() => {}, 1000);
      const { pid } = livePostmaster(server.data.cluster);
      rmSync(server.data.cluster + "/global", { recursive: true });
      process.kill(pid, "SIGKILL");
    `;
    const lost = { ...process.env, QOS_DATA_FOLDER: join(home, "lost"), LOG_LEVEL: "silent" };
    const child = spawn(process.execPath, ["--input-type=module", "-e", script], { env: lost });
    const [code] = await once(child, "exit");
    expect(code).toBe(1);
  }, 60_000);
});
