import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { projectPath } from "../../src/paths.ts";
import { eventually } from "../harness/index.ts";
import { missing, startNginx } from "./nginx.ts";

const run = promisify(execFile);

describe.skipIf(missing !== undefined)("the tests' own nginx", () => {
  const isGone = (pid: number) => expect(() => process.kill(pid, 0)).toThrow();

  test("ends with the process that started it, whose hooks may never run", async () => {
    const script = `
      const { startNginx } = await import(${JSON.stringify(projectPath("test/gateway/nginx.ts"))});
      const { pid } = await startNginx({ upstreamPort: 9, environment: {} });
      console.log(pid);
      process.exit(0);
    `;
    const { stdout } = await run(process.execPath, ["--input-type=module", "--eval", script]);
    expect(Number(stdout)).toBeGreaterThan(0);
    await eventually(() => isGone(Number(stdout)));
  });

  test("ends where it does not become ready", async () => {
    const pids: number[] = [];
    await expect(
      startNginx({
        ...{ upstreamPort: 9, environment: {}, tries: 2 },
        edit: (text) => text.replace("location = /healthz", "location = /other"),
        started: (pid) => pids.push(pid),
      }),
    ).rejects.toThrow("not ready");
    expect(pids).toHaveLength(1);
    for (const pid of pids) isGone(pid);
  });
});
