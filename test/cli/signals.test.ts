import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { projectFolder } from "../../src/paths.ts";
import { livePostmaster } from "../../src/postgres/postmaster.ts";
import { createDatabase } from "../harness/index.ts";

/** Far longer than any start takes: a busy machine is none of what is tested. */
const patience = { timeout: 240_000, interval: 50 };
const marker = "QOS_TEST_MARKER";

/** A documented command as a person types it, in a session of its own. */
class Typed {
  readonly #mark = randomUUID();
  readonly #child: ChildProcess;
  output = "";

  constructor(words: readonly string[], env: NodeJS.ProcessEnv) {
    const [program = "", ...args] = words;
    this.#child = spawn(program, args, {
      cwd: projectFolder,
      detached: true,
      env: { ...process.env, LOG_LEVEL: "error", ...env, [marker]: this.#mark },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on("data", (chunk) => {
        this.output += chunk;
      });
    }
    onTestFinished(() => {
      for (const pid of this.processes()) process.kill(pid, "SIGKILL");
    });
  }

  async says(pattern: RegExp): Promise<void> {
    await vi.waitFor(() => expect(this.output).toMatch(pattern), patience);
  }

  /** What it started, itself included, and what these started. */
  processes(): number[] {
    return readdirSync("/proc")
      .map(Number)
      .filter((pid) => Number.isInteger(pid) && isMarked(pid, this.#mark));
  }

  /** To the process that a service manager knows. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** As a terminal sends Ctrl-C: to all processes in the foreground at once. */
  interrupt(): void {
    process.kill(-(this.#child.pid ?? 0), "SIGINT");
  }

  get exited(): Promise<unknown> {
    return this.#child.exitCode === null && this.#child.signalCode === null
      ? once(this.#child, "exit")
      : Promise.resolve();
  }

  async isGone(): Promise<void> {
    await vi.waitFor(() => expect(this.processes()).toEqual([]), patience);
  }
}

function isMarked(pid: number, mark: string): boolean {
  try {
    if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return false;
    return readFileSync(`/proc/${pid}/environ`, "utf8").includes(`${marker}=${mark}`);
  } catch {
    return false;
  }
}

async function services(): Promise<NodeJS.ProcessEnv> {
  const database = await createDatabase();
  return {
    DATABASE_URL: database.url,
    API_DATABASE_URL: database.urlAs("rate_limiter_authenticator"),
    WORKER_DATABASE_URL: database.urlAs("rate_limiter_worker"),
    API_PORT: "0",
    WORKER_PORT: "0",
    API_JWT_SECRET: "a secret of more than thirty-two bytes",
  };
}

const documented = [
  { command: "npm run worker", says: /worker runs/ },
  { command: "npm run api", says: /admin API at/ },
  { command: "npm run -s qos -- worker", says: /worker runs/ },
  { command: "npx storage-qos worker", says: /worker runs/ },
];

describe("a signal to a documented start command", { timeout: 600_000 }, () => {
  test.each(documented)("ends $command and all that it started", async ({ command, says }) => {
    const typed = new Typed(command.split(" "), await services());
    await typed.says(says);
    typed.signal("SIGTERM");
    await typed.exited;
    await typed.isGone();
  });

  test.each(["SIGTERM", "Ctrl-C"])("ends npm start and its server: %s", async (signal) => {
    const home = mkdtempSync(join(tmpdir(), "storage-qos-signals-"));
    chmodSync(home, 0o755);
    onTestFinished(() => rmSync(home, { recursive: true }));
    const data = join(home, "data");
    const typed = new Typed(["npm", "start"], {
      ...{ QOS_DATA_FOLDER: data, API_PORT: "0", LOG_LEVEL: "info" },
    });
    await typed.says(/Ctrl-C stops it/);
    if (signal === "Ctrl-C") typed.interrupt();
    else typed.signal("SIGTERM");
    await typed.exited;
    await typed.isGone();
    // It was told to, and did not have to notice that its pipe closed.
    expect(typed.output).not.toMatch(/did not stop/);
    // The greeting stands alone: the log is in its file, from the first line on.
    expect(typed.output).not.toMatch(/^\{/m);
    const log = readFileSync(join(data, "storage-qos.log"), "utf8");
    expect(log).toContain("making a new PostgreSQL data folder");
    await vi.waitFor(() => expect(livePostmaster(join(data, "pgdata"))).toBeUndefined(), patience);
  });
});
