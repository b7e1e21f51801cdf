import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { livePostmaster, readPostmaster } from "../../src/postgres/postmaster.ts";

const cluster = mkdtempSync(join(tmpdir(), "storage-qos-postmaster-"));
afterAll(() => rmSync(cluster, { recursive: true }));
const file = join(cluster, "postmaster.pid");

function write(pid: number, status: string): void {
  writeFileSync(file, [pid, cluster, 1, 54329, "", "127.0.0.1", "0 0", status, ""].join("\n"));
}

test("the server tells its process, its port and whether it is ready", () => {
  expect(readPostmaster(cluster)).toBeUndefined();
  write(12, "starting");
  expect(readPostmaster(cluster)).toEqual({ pid: 12, port: 54329, ready: false });
  write(12, "ready   ");
  expect(readPostmaster(cluster)?.ready).toBe(true);
});

test("a file whose process is gone is cleared away", () => {
  // Above the highest process number of Linux.
  write(2 ** 22 + 1, "ready");
  expect(livePostmaster(cluster)).toBeUndefined();
  expect(existsSync(file)).toBe(false);
});

test.runIf(existsSync("/proc/self/cwd"))(
  "a file whose process number another program has now is cleared away",
  () => {
    write(process.pid, "ready");
    expect(livePostmaster(cluster)).toBeUndefined();
    expect(existsSync(file)).toBe(false);
  },
);

test("a server that runs is found by way of a symbolic link too, and its file stays", () => {
  const server = spawn("sleep", ["60"], { cwd: cluster });
  const link = `${cluster}-link`;
  symlinkSync(cluster, link);
  onTestFinished(() => {
    server.kill();
    rmSync(link);
  });
  write(Number(server.pid), "ready");
  expect(livePostmaster(link)).toMatchObject({ pid: server.pid, ready: true });
  expect(existsSync(file)).toBe(true);
});
