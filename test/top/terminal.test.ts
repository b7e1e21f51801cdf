import { spawn } from "node:child_process";
import { once } from "node:events";
import { beforeAll, expect, onTestFinished, test, vi } from "vitest";
import { createAdministrator } from "../../src/api/administrator/create-administrator.ts";
import { projectPath } from "../../src/paths.ts";
import { createDatabase } from "../harness/index.ts";
import { limitedApplication } from "../sql/world.ts";

const database = await createDatabase();

beforeAll(async () => {
  await createAdministrator(database.sql);
  const appId = await limitedApplication(database.sql, { iops: 100 });
  await database.as("rate_limiter_app")`
    select allowed from rate_limiter.consume(${appId}, 'read_small', 100)
  `;
});

const wait = { timeout: 30_000, interval: 50 };

/** `top` in a terminal of 80 columns and 24 rows, which `script` makes, and a shell that goes on after it. */
async function startTop() {
  const top = `"${process.execPath}" "${projectPath("src/cli/main.ts")}" top --interval 1s`;
  const steps = ["stty cols 80 rows 24", "stty -g", `${top} & echo "runs $!"`, "fg >/dev/null"];
  const shell = `set -m; ${steps.join("; ")}; code=$?; stty -g; echo "ended $code"`;
  const child = spawn(
    "script",
    ["-qec", `bash -c '${shell.replaceAll("'", `'\\''`)}'`, "/dev/null"],
    {
      env: { ...process.env, DATABASE_URL: database.url, QOS_OPERATOR: "", TERM: "xterm" },
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  onTestFinished(() => void child.kill("SIGKILL"));
  let shown = "";
  child.stdout.on("data", (text: Buffer) => {
    shown += text.toString();
  });
  const sees = (pattern: RegExp) => vi.waitFor(() => expect(shown).toMatch(pattern), wait);
  await sees(/> [0-9a-f]{8}-/);
  return {
    child,
    sees,
    shown: () => shown,
    pid: Number(/runs (\d+)/.exec(shown)?.[1]),
    /** What the terminal is set to, before top and after it. */
    settings: () => shown.match(/[0-9a-f]+(:[0-9a-f]+){10,}/g),
  };
}

test.skipIf(process.platform !== "linux").each([
  ["q", 0],
  ["SIGTERM", 0],
] as const)(
  "top in a terminal fits into it, and leaves it as it was after %s",
  async (end, code) => {
    const { child, sees, shown, pid, settings } = await startTop();
    child.stdin.write("\r");
    await sees(/cluster {6}/);
    const closed = once(child, "close");
    if (end === "q") child.stdin.write("q");
    else process.kill(pid, end);
    await sees(/ended \d+/);
    child.stdin.end();
    await closed;
    expect(shown()).toContain(`ended ${code}`);
    const [before, after] = settings() ?? [];
    expect(before).toBeDefined();
    expect(after).toBe(before);
    const [, drawn = ""] = shown().split("\u001b[?1049h");
    const [screens = "", rest] = drawn.split("\u001b[?1049l");
    expect(rest).toBeDefined();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what steers a terminal begins with one.
    const lines = screens.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, "").split(/\r+\n/);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  },
);
