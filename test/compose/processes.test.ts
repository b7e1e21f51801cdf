import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { unlessRequired } from "../harness/required.ts";
import { findClient } from "../restore/postgres-client.ts";

const home = mkdtempSync(join(tmpdir(), "storage-qos-compose-"));
afterAll(() => rmSync(home, { recursive: true }));

/** A network and mounts of its own take root and Linux; psql, Debian's PostgreSQL or its client. */
const client = findClient(1);
const mayIsolate = spawnSync("unshare", ["--mount", "--net", "ip", "link"]).status === 0;
const missing = unlessRequired(
  spawnSync("prometheus", ["--version"]).status === 0
    ? undefined
    : "prometheus is not installed (.ci/packages lists what to install)",
);

test.skipIf(client === undefined || !mayIsolate || missing !== undefined)(
  "the containers' commands, run as processes in their order, end in an admitted request",
  async () => {
    const script = projectPath("test/compose/in-namespace.ts");
    const { stdout } = await promisify(execFile)("unshare", [
      ...["--mount", "--net", process.execPath, script, home, client ?? ""],
    ]);
    const outcome = JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    expect(outcome.order).toEqual([
      ...["postgres", "migrate", "logins", "seed", "api", "worker", "prometheus"],
    ]);
    expect(outcome.decision).toMatch(/allowed/);
    expect(outcome.api).toBe(200);
    expect(outcome.prometheus.up).toEqual(["storage-qos-api", "storage-qos-worker"]);
    expect(outcome.prometheus.alerts).toBeGreaterThan(30);
    expect(outcome.ends).toEqual({ prometheus: 0, worker: 0, api: 0 });
  },
  600_000,
);
